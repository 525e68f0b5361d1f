"""Zeros in weights: patterns, criteria, allocation to a target, schedules. :func:`compress.sparsify` is the door."""
