"""The command line: parses, calls one function, prints, exits. What it calls is imported inside each command."""
