"""The command headrace."""
