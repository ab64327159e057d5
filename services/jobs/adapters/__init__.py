"""What the jobs service uses to reach the world."""
