"""The ledger's functions against its model: random operations, crashes, concurrency; run by `loadtests.ledger_ops`."""
