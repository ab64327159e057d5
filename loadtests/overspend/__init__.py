"""Many callers, several gateways, one budget, and processes that are killed: nothing may be spent twice."""
