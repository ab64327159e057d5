"""Request records: taken at a call's end, redacted and written in batches, found again, and deleted in time."""
