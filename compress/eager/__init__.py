"""Pruned networks as plain modules of the user's own class: edited in place, or made again from the constructor."""
