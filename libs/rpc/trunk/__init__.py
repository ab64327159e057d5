"""The trunk: all calls between two processes on one long-lived gRPC stream (docs/decisions/0001-trunk.md)."""
