"""Long work: accepted once, done once in effect, whatever dies."""
