"""Closed forms and bounds of model collapse: oracles for the tests, and lines drawn over what was measured.

Generation g is the model of generation g of the ledger. Generation 0 is fitted on M_0 real rows and generation
g > 0 on M_g rows, so that g + 1 fits lie behind it: what papers call n fits is generation n - 1 here. Unless a
function says otherwise the policy is `replace`: generation g > 0 trains on M_g fresh draws of generation g - 1.
"""
