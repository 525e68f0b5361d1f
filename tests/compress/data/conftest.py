"""Small data sets on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeImages = Callable[..., Path]


@pytest.fixture
def make_images(tmp_path: Path) -> MakeImages:
    """Write ``count`` noise images into each of the given folders under ``tmp_path / name``."""

    def make(
        *folders: str, count: int = 4, size: tuple[int, int] = (32, 32), name: str = "images", mode: str = "RGB"
    ) -> Path:
        root = tmp_path / name
        generator = np.random.default_rng(0)
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                shape = (*size, 3) if mode == "RGB" else size
                pixels = generator.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(root / folder / f"{number:03}.png")
        return root

    return make
