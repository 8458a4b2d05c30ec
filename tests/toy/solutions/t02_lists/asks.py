"""What the tests of t02_lists ask beyond a plain call."""


def counts_of(student, added, asked):
    """Adds words to a fresh tally and asks for counts."""
    tally = student.Tally()
    for word in added:
        tally.add(word)
    return [tally.count(word) for word in asked]
