"""Settings of each algorithm, one module for each, beside none of their code.

They are below `rsc.training`, so that a configuration can be checked without importing
Ray or torch; `rsc.training.algorithms` has a module of the same name for each.
"""
