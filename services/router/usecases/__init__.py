"""What the router does."""
