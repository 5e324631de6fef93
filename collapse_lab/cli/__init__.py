"""The command line: what a user types, turned into experiments, reports and judgements."""
