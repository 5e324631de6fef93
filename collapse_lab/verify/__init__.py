"""The papers' claims as data, judged from ledgers by one rule.

A paper is a file in `claims/`, and a statistic is a function of a module in `statistics/`: both are discovered, so a
new one needs no registration. This package never imports torch.
"""
