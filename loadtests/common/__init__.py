"""Processes, CPU time and figures shared by the measurements."""
