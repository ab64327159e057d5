"""Puts the jobs service together: settings in, parts that run out."""
