"""What a job is and how it goes on. Pure."""
