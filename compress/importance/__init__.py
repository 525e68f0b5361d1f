"""Importance criteria, one file each, and how their numbers become a ranking.

How to add one: derive from the kind that fits, name it, and register it.

- :class:`ElementCriterion`: a number for each element of a weight, which adds up (magnitude, Taylor).
- :class:`SliceCriterion`: all that a channel takes of a weight, beside the other channels' (FPGM).
- :class:`SignalCriterion`: the signal that a channel carries (activation energy).
- :class:`GateCriterion`: the derivative of the loss by a factor on the channel (Fisher).
- :class:`Criterion`: anything else.

    >>> import torch
    >>> from compress.importance import SliceCriterion, register
    >>> @register
    ... class Peak(SliceCriterion):
    ...     name = "peak"
    ...
    ...     def of_slices(self, slices: torch.Tensor) -> torch.Tensor:
    ...         return slices.abs().max(dim=1).values

``compress.prune(program, criterion="peak")`` then uses it. From the command line such a class needs no registration:
``--criterion FILE.py:Peak``. What produces channels comes first in the places of a group; what an atom takes of several
tensors (its filter, the columns of those that read it) is put together by the aggregation, and groups are made
comparable by the normalisation: a criterion knows neither.
"""

from __future__ import annotations

from pathlib import Path

from compress.errors import InputError, PlanError
from compress.importance._activation import ActivationEnergy
from compress.importance._base import Criterion, ElementCriterion, ScoreContext, SliceCriterion
from compress.importance._batch_norm import BatchNormScale
from compress.importance._fisher import Fisher
from compress.importance._fpgm import Fpgm
from compress.importance._lamp import Lamp
from compress.importance._magnitude import L1, L2
from compress.importance._obd import Obd
from compress.importance._random import Random
from compress.importance._ranking import AGGREGATIONS, ISOMORPHIC, NORMALISATIONS, Ranking, atom_scores, normalised
from compress.importance._signals import GateCriterion, SignalCriterion
from compress.importance._taylor import Taylor
from models.user_code import UserFunction

CRITERIA: dict[str, type[Criterion]] = {
    kind.name: kind for kind in (L1, L2, BatchNormScale, Fpgm, Lamp, Taylor, Fisher, Obd, ActivationEnergy, Random)
}


def register(kind: type[Criterion]) -> type[Criterion]:
    """Let a criterion be chosen by its name; a decorator. Raises :class:`InputError` where the name is taken."""
    if CRITERIA.get(kind.name, kind) is not kind:
        raise InputError(f"there is a criterion {kind.name!r} already", hint="choose another name")
    CRITERIA[kind.name] = kind
    return kind


def criterion(name: str | Criterion) -> Criterion:
    """Make a criterion by name, or from the class that ``file.py:Class`` names; one that is made is passed through.

    Raises:
        PlanError: the name is not known, or it names no criterion.
        ModelError: the file cannot be loaded, or the class cannot be made.
    """
    if isinstance(name, Criterion):
        return name
    if ".py:" in name:
        return _from_file(name)
    if name not in CRITERIA:
        raise PlanError(
            f"there is no criterion {name!r}", hint=f"choose one of {', '.join(sorted(CRITERIA))}, or FILE.py:CLASS"
        )
    return CRITERIA[name]()


def _from_file(ref: str) -> Criterion:
    """Make the user's criterion; what it raises later names the file."""
    from compress.training.user_functions import guarded

    kind = UserFunction.load(ref)
    if not (isinstance(kind.function, type) and issubclass(kind.function, Criterion)):
        raise PlanError("is no criterion", where=ref, hint="derive the class from compress.importance.Criterion")
    made: Criterion = kind()
    made.name = Path(ref).name  # type: ignore[misc]  # plans and messages say where it is from; none need be given
    made.places = guarded(made.places, ref)  # type: ignore[method-assign]
    return made


__all__ = [
    "AGGREGATIONS",
    "CRITERIA",
    "ISOMORPHIC",
    "NORMALISATIONS",
    "Criterion",
    "ElementCriterion",
    "GateCriterion",
    "Ranking",
    "ScoreContext",
    "SignalCriterion",
    "SliceCriterion",
    "atom_scores",
    "criterion",
    "normalised",
    "register",
]
