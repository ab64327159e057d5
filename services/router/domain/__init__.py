"""Pure rules of the router: no I/O, time and randomness come in as arguments."""
