"""A framework for courses that grade themselves.

The layers, lowest first; a module imports only from layers above it in this list (a test holds it):
errors, files, course, report · sandbox · testing · grading · authoring, learner · reporting · cli
"""

__version__ = "0.1.0"
