"""Grades one submission of one assignment: reads it, asks it, scores it, says what a wrong answer looks like."""
