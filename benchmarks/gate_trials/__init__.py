"""Trials of the gate: networks of known slow-down, load on the cores, the rules that it is compared with, the table."""
