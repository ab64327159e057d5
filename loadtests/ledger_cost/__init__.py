"""What keys, limits and holds cost on the request path."""
