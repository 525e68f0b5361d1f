"""Checkpoints as people find them: what a file is, its weights, its architecture, and archives made safe to load."""

from compress.checkpoints._graph_json import clean_identifier
from compress.checkpoints._operators import is_operator
from compress.checkpoints.fit import load_into
from compress.checkpoints.kinds import Kind, kind
from compress.checkpoints.pt2 import sanitise_pt2
from compress.checkpoints.recognise import Recognition, index_versions, recognise
from compress.checkpoints.weights import Weights, read

__all__ = [
    "Kind",
    "Recognition",
    "Weights",
    "clean_identifier",
    "index_versions",
    "is_operator",
    "kind",
    "load_into",
    "read",
    "recognise",
    "sanitise_pt2",
]
