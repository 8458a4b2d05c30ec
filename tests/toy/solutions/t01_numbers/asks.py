"""What the tests of t01_numbers ask beyond a plain call. Each ask runs beside the student's code and returns data."""


def running_mean_twice(student, xs):
    """Two answers to the same question, from one module."""
    return student.running_mean(list(xs)), student.running_mean(list(xs))


def mean_of_running_mean(student, xs):
    """Both functions together."""
    return student.mean(student.running_mean(list(xs)))
