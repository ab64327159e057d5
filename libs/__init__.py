"""Building blocks without any service's noun."""
