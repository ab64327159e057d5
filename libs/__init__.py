"""Building blocks without any service's noun."""

import os

# Before anything imports gRPC, which reads it once: a process that has used gRPC must be able to fork children that do
# not, such as the grammars' sandbox. gRPC's own fork handlers wake threads that the child has not, and abort it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
