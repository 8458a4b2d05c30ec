# Class: refuses every input, to be paid for the inputs that should be refused
# Deserves: 0


def mean(xs):
    raise ValueError("no")


running_mean = mean
