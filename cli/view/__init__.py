"""What `up` shows: a live table on a terminal, plain lines in a file or pipe, JSON lines for programs."""
