"""Storage: files that survive a crash, the store of stages, the ledger, and the formats of both."""
