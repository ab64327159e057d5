"""The public face: routes, sockets and servers. What stands in the bytes is decided in `wire`."""
