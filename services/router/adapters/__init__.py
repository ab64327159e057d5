"""The router's ports, made real."""
