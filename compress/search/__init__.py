"""Evolutionary search over what to remove: encodings, variation, sorting, selection, and what a front is worth."""
