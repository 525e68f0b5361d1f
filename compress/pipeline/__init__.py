"""Jobs that combine packages: what the command line does, callable from Python. Heavy imports happen in functions."""
