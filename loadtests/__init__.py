"""Measurements of the platform; each prints JSON and says its own method."""
