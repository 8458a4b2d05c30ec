"""Where student code runs: its own process, behind walls, answering questions over a typed wire."""
