"""Closed forms and bounds of model collapse: the tests compare with them, and reports draw them over what was measured.

Generation g is the model of generation g of the ledger. Generation 0 is fitted to M_0 real rows and generation g > 0
to M_g rows, so generation g comes after g + 1 fits: what papers call n fits is generation n - 1 in this package.
Unless a function says otherwise the policy is `replace`: generation g > 0 trains on M_g fresh draws of generation
g - 1.
"""
