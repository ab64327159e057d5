"""What the jobs service does, over its ports."""
