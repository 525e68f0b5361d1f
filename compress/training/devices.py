"""Where training runs, and making it repeatable there."""

from __future__ import annotations

import os
import random
from types import TracebackType
from typing import Any

import numpy as np
import torch

from compress.errors import UnavailableError


def pick_device(wanted: str) -> torch.device:
    """Return the device for ``auto`` (a CUDA device if there is one), ``cpu`` or ``cuda``.

    Raises:
        UnavailableError: ``cuda`` was asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UnavailableError("no CUDA device is here", where="--device cuda", hint="use --device cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


class Determinism:
    """Within the block, algorithms are repeatable; afterwards settings and all random states are as before."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before: dict[str, Any] = {}

    def __enter__(self) -> None:
        self._before = {
            "algorithms": torch.are_deterministic_algorithms_enabled(),
            "warn": torch.is_deterministic_algorithms_warn_only_enabled(),
            "cudnn": torch.backends.cudnn.deterministic,
            "benchmark": torch.backends.cudnn.benchmark,
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state(),
            "random": random.getstate(),
        }
        if self._device.type == "cuda":
            # cuBLAS reads this when its first handle is made.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(mode=True, warn_only=True)
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.use_deterministic_algorithms(self._before["algorithms"], warn_only=self._before["warn"])
        torch.backends.cudnn.deterministic = self._before["cudnn"]
        torch.backends.cudnn.benchmark = self._before["benchmark"]
        torch.set_rng_state(self._before["torch"])
        np.random.set_state(self._before["numpy"])
        random.setstate(self._before["random"])
