"""What a gateway does while its upstreams fail."""
