"""`/v1/jobs`, `/v1/files` and `/v1/batches`: raw ASGI, because bodies and answers are streams."""
