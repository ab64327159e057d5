"""The ledger: what a request may cost, what is held for it, what it is charged. Pure; docs/ledger.md has the rules."""
