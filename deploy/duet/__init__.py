"""Two files against each other: paired blocks of runs, and bets on which one is slower.

Needs no more than the standard library, numpy and the runtime, and runs on Python 3.9: it is part of what is copied to
a device. (Duet benchmarking: Bulej et al., ICPE 2020, arXiv 2001.05811.)
"""
