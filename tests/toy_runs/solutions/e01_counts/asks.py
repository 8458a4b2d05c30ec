"""No asks are needed."""
