"""Accounts in Valkey, their twin in memory, and the keys file from which an installation begins."""
