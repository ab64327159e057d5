"""Training of the router's complexity classifier, and its measures."""
