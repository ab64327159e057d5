"""JobService as gateways call it."""
