"""Ten times more calls than the workers can take: what is served, what is refused, and how soon it is over."""
