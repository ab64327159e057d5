"""Servers, clients, the error codec and the trunk."""
