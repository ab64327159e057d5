"""Placement rules: the platform's own, and its competitors' as they are published."""
