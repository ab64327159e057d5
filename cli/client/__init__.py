"""A client as small as the command line needs: REST and gRPC, streamed, measured."""
