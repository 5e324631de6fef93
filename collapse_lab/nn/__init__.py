"""Networks, tokens and samplers: pure torch, no configuration, no files."""
