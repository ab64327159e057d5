"""Fakes, and the contract checks that keep them honest; imported by tests only."""
