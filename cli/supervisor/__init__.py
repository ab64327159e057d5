"""Starts the platform's processes, keeps them alive, and stops them in drain order."""
