"""Pure rules of the gateway: no I/O, time and randomness come in as arguments."""
