"""Tenants, users and keys: what they are, what they may, what limits them. Pure."""
