"""Scaled-down members of FBNetV3 (:mod:`models.fbnetv3`), for 32x32 pictures and for 8x8 digits: to try methods on.

Made for this project: the blocks, heads and the order of stages are the family's, widths and depths grow from member to
member as they do from A to G, and nothing of it is published. Four members each, ``a`` the smallest.
"""

from __future__ import annotations

from models.cifar_resnet import check_sizes
from models.fbnetv3 import Blocks, FBNetV3, Member


def _mini(stem: int, widths: tuple[int, int, int, int], depths: tuple[int, int, int, int], features: int) -> Member:
    first, second, third, fourth = widths
    one, two, three, four = depths
    stages = (
        Blocks(3, stem, 1, 1),
        Blocks(3, first, 1, 4),
        Blocks(3, first, one, 2),
        Blocks(5, second, 1, 4, stride=2, squeeze=True),
        Blocks(3, second, two, 3, squeeze=True),
        Blocks(3, third, three, 3),
        Blocks(3, fourth, 1, 4, stride=2, squeeze=True),
        Blocks(3, fourth, four, 4, squeeze=True),
    )
    return Member(32, stem, stages, head=4, features=features)


def _digits(width: int, depth: int) -> Member:
    stages = (Blocks(3, 2 * width, depth, 3, stride=2, squeeze=True), Blocks(3, 3 * width, depth, 3, squeeze=True))
    return Member(8, width, stages, head=3, features=12 * width, stride=1)


MINI = {
    "a": _mini(8, (12, 20, 28, 40), (1, 1, 1, 1), 160),
    "b": _mini(8, (16, 24, 36, 56), (1, 1, 2, 1), 192),
    "c": _mini(12, (16, 32, 48, 72), (1, 2, 2, 1), 256),
    "d": _mini(12, (24, 40, 56, 88), (1, 2, 2, 2), 320),
}
DIGITS = {"a": _digits(6, 1), "b": _digits(8, 1), "c": _digits(8, 2), "d": _digits(12, 2)}


def fbnetv3_mini(member: str, num_classes: int = 10, in_channels: int = 3) -> FBNetV3:
    """Create ``a`` ... ``d`` for 32x32 pictures. Raises ``ValueError`` for a size below 1."""
    check_sizes(num_classes=num_classes, in_channels=in_channels)
    return FBNetV3(MINI[member], num_classes, in_channels)


def fbnetv3_digits(member: str, num_classes: int = 10, in_channels: int = 1) -> FBNetV3:
    """Create ``a`` ... ``d`` for 8x8 digits: two stages. Raises ``ValueError`` for a size below 1."""
    check_sizes(num_classes=num_classes, in_channels=in_channels)
    return FBNetV3(DIGITS[member], num_classes, in_channels)
