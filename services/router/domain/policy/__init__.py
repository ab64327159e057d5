"""Policy: which tier a turn gets, given what the classifier says, what the session has, and what a switch costs."""
