"""A year of the ledger: its facts, loaded at once, and the sums over them."""
