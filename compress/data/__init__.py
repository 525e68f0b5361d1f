"""Data sets: ``load("digits")`` and the other references that ``--data`` takes."""

from compress.data.images import Augmentation, LabelledImages
from compress.data.loading import REFERENCES, load
from compress.data.preprocessing import Wanted, preprocessing_of
from compress.data.source import Batch, DataSource, Share

__all__ = [
    "REFERENCES",
    "Augmentation",
    "Batch",
    "DataSource",
    "LabelledImages",
    "Share",
    "Wanted",
    "load",
    "preprocessing_of",
]
