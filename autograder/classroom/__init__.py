"""A class: student kits, nbgrader's course tree and gradebook, and the places where courses live."""
