"""Zeros in weights: patterns, criteria, allocation to a target, and schedules. :func:`compress.sparsify` is the door."""
