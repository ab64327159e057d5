"""`headrace demo`: the platform shown and checked, from the first token to a killed worker."""
