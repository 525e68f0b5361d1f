"""What ``benchmarks/sparse.py`` times: the files of each network, and how they are timed against each other."""
