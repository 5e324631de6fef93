"""Provide the sinks, which show or send the records of a run; the ledger stays the only complete copy."""
