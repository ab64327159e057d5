"""Pure rules of the inference: no I/O, time and randomness come in as arguments."""
