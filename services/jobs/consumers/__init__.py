"""One consumer per topic."""
