"""The papers' claims as data, judged from ledgers by one rule; never imports torch.

A paper is a file in `claims/`, a statistic is a function in `statistics/`: both are found by being there.
"""
