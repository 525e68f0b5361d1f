"""What is measured on held-back data: loss, top-1, top-5, or the user's own function or class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch

from compress.errors import InputError
from compress.training.losses import Outputs, check_labels, main_output
from compress.training.user_functions import guarded, user_function

BUILT_IN = ("top1", "top5", "loss")


class Tally:
    """Weighted sums by name, which add up over batches and processes."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, name: str, value: float, weight: float) -> None:
        """Count the mean ``value`` over ``weight`` samples."""
        entry = self.sums.setdefault(name, [0.0, 0.0])
        entry[0] += value * weight
        entry[1] += weight

    def means(self) -> dict[str, float]:
        """Return the weighted mean of everything that was counted."""
        return {name: total / weight for name, (total, weight) in self.sums.items() if weight}


class Scorer(ABC):
    """Turns outputs and targets, batch by batch, into figures."""

    additive = True
    """Whether processes may score different batches and add up."""

    def __init__(self) -> None:
        self.tally = Tally()

    @abstractmethod
    def update(self, outputs: Outputs, target: Any, count: int) -> None:
        """Take in one batch of ``count`` samples."""

    def result(self) -> dict[str, float]:
        """Return the figures over everything taken in."""
        return self.tally.means()


class Classification(Scorer):
    """Top-1 and, above five classes, top-5 of the main output; over every position where there are several."""

    def update(self, outputs: Outputs, target: Any, count: int) -> None:
        logits = main_output(outputs)
        if not isinstance(target, torch.Tensor):
            return
        if target.is_floating_point():
            target = target.argmax(1)
        check_labels(target, logits.shape[1], "validation")
        counted = target != -100
        positions = int(counted.sum())
        if not positions:
            return
        for name, best in (("top1", 1), ("top5", 5)):
            if best == 1 or logits.shape[1] > best:
                found = (logits.topk(best, dim=1).indices == target.unsqueeze(1)).any(1) & counted
                self.tally.add(name, int(found.sum()) / positions, positions)


class UserMetric(Scorer):
    """``file.py:function(outputs, target)`` -> number or dictionary of numbers, averaged over samples."""

    def __init__(self, ref: str, function: Callable[..., Any]) -> None:
        super().__init__()
        self._ref = ref
        self._function = function

    def update(self, outputs: Outputs, target: Any, count: int) -> None:
        for name, value in _figures(self._function(outputs, target), self._ref).items():
            self.tally.add(name, value, count)


class UserCollector(Scorer):
    """``file.py:Class`` with ``update(outputs, target)`` and ``compute()``, for figures that are not means.

    Every process sees all the data, since only the user knows how such figures add up.
    """

    additive = False

    def __init__(self, ref: str, made: Any) -> None:
        super().__init__()
        self._ref = ref
        self._update = guarded(made.update, ref)
        self._compute = guarded(made.compute, ref)

    def update(self, outputs: Outputs, target: Any, count: int) -> None:
        self._update(outputs, target)

    def result(self) -> dict[str, float]:
        return _figures(self._compute(), self._ref)


def scorer_maker(metric: str | None, loss: str | None) -> Callable[[], Scorer | None]:
    """Return what makes a fresh scorer for each validation; it makes None where the loss alone is wanted.

    Raises:
        InputError: ``metric`` is neither built in nor a function or class in a file.
    """
    if metric is None or metric in BUILT_IN:
        # The targets of a loss of the user's own need not be classes.
        wanted = metric in ("top1", "top5") or (metric is None and loss is None)
        return Classification if wanted else lambda: None
    if ".py" not in metric:
        raise InputError("no such metric", where=metric, hint=f"use {', '.join(BUILT_IN)} or file.py:function")
    function = user_function(metric)
    found = getattr(function, "__wrapped__", None)
    if isinstance(found, type):
        return lambda: UserCollector(metric, _collector(function, metric))
    return lambda: UserMetric(metric, function)


def _collector(make: Callable[..., Any], ref: str) -> Any:
    made = make()
    if not callable(getattr(made, "update", None)) or not callable(getattr(made, "compute", None)):
        raise InputError("has no update() and compute()", where=ref, hint="give it both, or use a function")
    return made


def _figures(value: Any, ref: str) -> dict[str, float]:
    named = value if isinstance(value, Mapping) else {ref.rpartition(":")[2]: value}
    figures = {}
    for name, figure in named.items():
        try:
            figures[str(name)] = float(figure)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(
                f"returned {type(figure).__name__} for {name}, expected a number or a dictionary of numbers", where=ref
            ) from None
    return figures
