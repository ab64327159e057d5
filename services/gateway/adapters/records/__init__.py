"""The index of request records in Valkey, and their metrics."""
