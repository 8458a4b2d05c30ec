"""`python -m autograder`: the same as the command `autograder`."""

from autograder.cli.main import run

if __name__ == "__main__":
    run()
