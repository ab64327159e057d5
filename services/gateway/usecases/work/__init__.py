"""Work for which nobody waits: what it may cost is set aside, then it is done in its caller's name."""
