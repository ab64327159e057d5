"""Wire protocols: bytes and protos to neutral requests, pipeline events to bytes and protos. No I/O here."""
