"""How the router is put together."""
