"""The inference's ports, made real."""
