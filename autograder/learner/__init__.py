"""The learner's side: what was read, what comes next, hints, quiz, reset, solutions and the check of the machine."""
