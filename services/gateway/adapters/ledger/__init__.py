"""The ledger in Valkey: functions that decide in the store, and clients that call them."""
