"""Puts the gateway together, room by room: settings in, parts that run out."""
