"""The pure part of Lilypad: what both sides sign, what it costs, what matches, what a result is.

Twins of `contracts/types/` and `contracts/core/`, under the same names in snake case; tests compare both on random
values. Nothing here reads a clock, a file, a network or a random number.
"""
