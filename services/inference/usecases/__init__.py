"""What a worker does: generates, tells its state, drains."""
