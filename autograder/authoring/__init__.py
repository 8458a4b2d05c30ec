"""From one source to what a student receives: read, render, release. Nothing on the path of a check imports this."""
