"""The gateway's side of the ledger: what it holds, keeps alive, settles, and declares anew. See docs/ledger.md."""
