"""From a criterion's numbers to scores that can be ranked: over the places of a group, then between groups."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compress.axes.groups import Group
from compress.errors import PlanError
from compress.importance._base import Criterion, ScoreContext, Scores
from compress.importance._structure import structures

AGGREGATIONS: dict[str, Callable[[Scores], Scores]] = {
    "mean": lambda places: places.mean(axis=0),
    "sum": lambda places: places.sum(axis=0),
    "max": lambda places: places.max(axis=0),
    "first": lambda places: places[0],
}
"""By name: (places, atoms) to (atoms,). ``first`` is the place that produces the group."""

NORMALISATIONS: dict[str, Callable[[Scores], Scores]] = {
    "mean": lambda scores: scores / (scores.mean() or 1.0),
    "max": lambda scores: scores / (scores.max() or 1.0),
    "gaussian": lambda scores: (scores - scores.mean()) / (scores.std() or 1.0),
    "none": lambda scores: scores,
}
"""By name, for one group; :data:`ISOMORPHIC` looks at several."""

ISOMORPHIC = "isomorphic"


@dataclass(frozen=True)
class Ranking:
    """How atoms are ranked: a criterion, the aggregation over places, the normalisation between groups.

    Raises:
        PlanError: on making it, an aggregation or normalisation that is not known.
    """

    criterion: Criterion
    aggregation: str = "mean"
    normalisation: str = "mean"

    def __post_init__(self) -> None:
        _known(self.aggregation, AGGREGATIONS, "aggregation")
        _known(self.normalisation, [*NORMALISATIONS, ISOMORPHIC], "normalisation")

    def scores(self, context: ScoreContext, groups: Sequence[Group]) -> dict[str, Scores]:
        """Return comparable scores by group name. Raises as :func:`atom_scores`."""
        found = atom_scores(self.criterion, context, groups, self.aggregation)
        return normalised(found, self.normalisation, context, groups)

    def settings(self) -> dict[str, str]:
        """The ranking as a plan records it."""
        return {
            "criterion": self.criterion.name,
            "aggregation": self.aggregation,
            "normalisation": self.normalisation,
        }


def atom_scores(
    chosen: Criterion, context: ScoreContext, groups: Sequence[Group], aggregation: str = "mean"
) -> dict[str, Scores]:
    """Score each atom of each group. A group that the criterion has nothing to say of is left out.

    Raises:
        PlanError: a score is not finite, or the scores of a group are no vectors over its atoms.
    """
    aggregate = AGGREGATIONS[aggregation]
    members = {group.name: group for group in groups}
    result = {}
    for name, places in chosen.places(context, groups).items():
        group = members[name]
        result[name] = aggregate(np.stack([_one_each(place, group, chosen) for place in places]))
        if not np.isfinite(result[name]).all():
            raise PlanError(
                f"criterion {chosen.name} finds values that are not finite in {name!r}",
                hint=_why_not_finite(context, group, chosen),
            )
    return result


def _one_each(place: Scores, group: Group, chosen: Criterion) -> Scores:
    shape = np.shape(place)
    if shape != (group.width,):
        raise PlanError(
            f"criterion {chosen.name} gives {group.name!r} scores of shape {shape}",
            hint=f"return one score for each of its {group.width} channels: shape ({group.width},)",
        )
    return place


def _why_not_finite(context: ScoreContext, group: Group, chosen: Criterion) -> str:
    tensors = context.analysis.program.tensors
    if not all(bool(tensors[member.tensor].isfinite().all()) for member in group.members):
        return "its weights hold NaN or infinity: train it again, or leave it out with --ignore"
    data = "the data and its gradients, or the criterion," if chosen.needs_data else "the criterion"
    return f"its weights are finite; look for what makes {data} give NaN or infinity, or leave it out with --ignore"


def normalised(
    scores: Mapping[str, Scores], how: str, context: ScoreContext, groups: Sequence[Group]
) -> dict[str, Scores]:
    """Make the scores of different groups comparable.

    ``mean``, ``max`` and ``gaussian`` divide by the group's mean, by its maximum, or centre and divide by the standard
    deviation. ``isomorphic`` (Fang et al. 2024, Isomorphic Pruning) compares raw scores only among groups of the same
    structure: a score becomes the share of such atoms that score less, so each structure loses the same share.
    """
    if how != ISOMORPHIC:
        return {name: NORMALISATIONS[how](score) for name, score in scores.items()}
    alike: dict[Hashable, list[str]] = {}
    for name, structure in structures(context.analysis, groups).items():
        if name in scores:
            alike.setdefault(structure, []).append(name)
    pools = {
        name: np.sort(np.concatenate([scores[one] for one in names])) for names in alike.values() for name in names
    }
    return {name: np.searchsorted(pools[name], score) / pools[name].size for name, score in scores.items()}


def _known(name: str, known: Sequence[str] | Mapping[str, object], what: str) -> None:
    if name not in known:
        raise PlanError(f"there is no {what} {name!r}", hint=f"choose one of {', '.join(sorted(known))}")
