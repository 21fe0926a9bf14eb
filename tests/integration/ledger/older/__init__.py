"""guard's ledger as an older guard has it: format 1, left as it was. Other releases run such code beside this one's.

A copy of `guard/ledger` and of the values that it reads and writes. It is never mended: a test that fails with it shows
what the newer ledger does to processes that are deployed already.
"""
