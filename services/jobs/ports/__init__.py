"""What the jobs service needs of the world."""
