"""Jobs under load, faults and replay: what was submitted against what came of it."""
