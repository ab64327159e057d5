"""The gateway's ports, made real."""
