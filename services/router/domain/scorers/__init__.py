"""What speaks for a worker, one file each."""
