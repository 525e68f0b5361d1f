"""``compress.sensitivity``: what each group's narrowing alone does to the network, without any training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compress.allocation import Ladder
from compress.axes.analysis import Analysis, analyse
from compress.axes.groups import Group
from compress.axes.surgery import remove
from compress.choosing import score_batches
from compress.errors import PlanError
from compress.importance import Criterion, Ranking, ScoreContext
from compress.importance import criterion as find_criterion
from compress.patterns import protected
from compress.program import Program
from compress.sizes import SizeModel

if TYPE_CHECKING:
    from compress.data import DataSource

VERSION = 1
KEEP_RATIOS = (0.875, 0.75, 0.5, 0.25)
SAMPLES = 1000
_RANDOM_INPUTS = 8
_BATCH = 50  # of an incomplete last batch the samples are left out: few


@dataclass(frozen=True)
class Point:
    """One group cut to ``kept`` of its ``width`` atoms, all others whole.

    ``macs`` is the share of the network's MACs that is left. ``figures`` are what was measured: ``top1``, ``loss``, or
    ``output_change``. ``damage`` is what counts of them: the loss of top-1 (a share) where there are data, else the
    output change.
    """

    group: str
    layers: tuple[str, ...]
    kind: str
    width: int
    kept: int
    macs: float
    figures: Mapping[str, float]
    damage: float

    @property
    def key(self) -> tuple[str, int]:
        """What tells the points of one scan apart."""
        return self.group, self.kept


@dataclass(frozen=True)
class Sensitivity:
    """A scan: the figures of the whole network, what was measured on what, and a point for each cut in graph order."""

    measured: str
    whole: Mapping[str, float]
    points: tuple[Point, ...]
    settings: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The scan as JSON types."""
        return {
            "format": "compress-sensitivity",
            "version": VERSION,
            "measured": self.measured,
            "whole": dict(self.whole),
            "settings": dict(self.settings),
            "points": [asdict(point) for point in self.points],
        }


class OutputChange:
    """``|y - y0| / |y0|`` (Euclidean norms over all floating-point outputs) on fixed random inputs, without data."""

    def __init__(self, program: Program, seed: int) -> None:
        self.measured = f"relative change of the outputs on {_RANDOM_INPUTS} random inputs (seed {seed}); no data given"
        self._inputs = program.example_inputs(batch=_RANDOM_INPUTS, seed=seed)
        self._whole = self._outputs(program)

    def __call__(self, program: Program) -> dict[str, float]:
        """Return ``output_change``."""
        return {"output_change": _ratio((self._outputs(program) - self._whole).norm(), self._whole.norm())}

    def damage(self, figures: Mapping[str, float], whole: Mapping[str, float]) -> float:
        """The change itself."""
        return figures["output_change"]

    def _outputs(self, program: Program) -> torch.Tensor:
        with torch.no_grad():
            found = program.module()(*self._inputs)
        parts = (found,) if isinstance(found, torch.Tensor) else found
        return torch.cat([part.double().flatten() for part in parts if part.is_floating_point()])


class Accuracy:
    """Top-1 and loss on the first samples of the shuffled validation part, the same for every cut."""

    def __init__(self, data: DataSource, samples: int, seed: int) -> None:
        batches, count = [], 0
        for batch in data.validation.epoch(min(samples, _BATCH), seed=seed, epoch=0, augment=False):
            part = slice(samples - count)
            batches.append((*(value[part] for value in batch.inputs), batch.target[part]))
            count += len(batches[-1][0])
            if count >= samples:
                break
        self.measured = f"top-1 lost on {count} samples of the validation part of {data.ref} (seed {seed})"
        self._data = replace(data, val=batches)

    def __call__(self, program: Program) -> dict[str, float]:
        """Return ``top1`` and ``loss``."""
        from compress.training import evaluate

        found = evaluate(program, self._data, quiet=True)
        return {name: float(found[name]) for name in ("top1", "loss")}

    def damage(self, figures: Mapping[str, float], whole: Mapping[str, float]) -> float:
        """How much top-1 was lost, as a share of all samples."""
        return whole["top1"] - figures["top1"]


def sensitivity(
    program: Program,
    *,
    keep_ratios: Sequence[float] = KEEP_RATIOS,
    criterion: str | Criterion = "l2",
    aggregation: str = "mean",
    granularity: int = 1,
    ignore: Iterable[str] = (),
    data: DataSource | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    known: Iterable[Point] = (),
    progress: Callable[[float, Point], None] = lambda share, point: None,
) -> Sensitivity:
    """Cut one group at a time to each keep ratio, really, and measure; nothing is trained or re-estimated.

    Args:
        program: left as it is.
        keep_ratios: shares between 0 and 1; of each group the nearest width that ``granularity`` allows.
        criterion: which channels stay, as in :func:`compress.prune`.
        aggregation: as in :func:`compress.prune`.
        granularity: widths are multiples of this.
        ignore: layer name patterns that are not scanned.
        data: accuracy is measured on it; without data the relative change of the outputs on random inputs.
        samples: how many samples of the validation part.
        seed: for the samples, random inputs, and criteria.
        known: points of an earlier scan with the same arguments; they are not measured again.
        progress: called after every point with the share done.

    Raises:
        PlanError: a wrong keep ratio, criterion, granularity or pattern; nothing can be cut.
    """
    ratios = sorted(set(keep_ratios), reverse=True)
    if not ratios or not all(0 < ratio < 1 for ratio in ratios):
        raise PlanError(f"keep ratios {list(keep_ratios)} are not between 0 and 1", hint="0.5 keeps half")
    if granularity < 1:
        raise PlanError(f"granularity {granularity} is not a positive whole number", hint="1 cuts finest")
    chosen = find_criterion(criterion)
    ranking = Ranking(chosen, aggregation, "none")
    analysis = analyse(program)
    shielded = protected(analysis, ignore)
    groups = [group for group in analysis.prunable if group.name not in shielded]
    batches = score_batches(data, seed) if data is not None else None
    scores = ranking.scores(ScoreContext(analysis, batches, seed), groups)
    cuts = [(group, width) for group in groups if group.name in scores for width in _widths(group, ratios, granularity)]
    if not cuts:
        raise PlanError("no group can be cut", hint="see 'compress inspect', or try --granularity 1")
    measure = Accuracy(data, samples, seed) if data is not None else OutputChange(program, seed)
    whole = measure(program)
    before = {point.key: point for point in known}
    model = SizeModel(analysis, analysis.prunable)
    points = []
    for number, (group, width) in enumerate(cuts, 1):
        point = before.get((group.name, width))
        if point is None:
            keep = np.sort(np.argsort(-scores[group.name], kind="stable")[:width])
            figures = measure(remove(analysis, {group.name: keep}))
            macs = _macs(model, analysis, group, width)
            damage = measure.damage(figures, whole)
            point = Point(group.name, group.producers, group.kind, group.width, width, macs, figures, damage)
        points.append(point)
        progress(number / len(cuts), point)
    settings = {
        "keep_ratios": ratios, "criterion": chosen.name, "aggregation": aggregation, "granularity": granularity,
        "ignore": list(ignore), "data": data.ref if data is not None else None,
        "samples": samples if data is not None else None, "seed": seed,
    }  # fmt: skip
    return Sensitivity(measure.measured, whole, tuple(points), settings)


def _widths(group: Group, ratios: Sequence[float], granularity: int) -> list[int]:
    """The widths to try, widest first, each once and none of them the whole."""
    nearest = Ladder(group, granularity, 0.0).nearest(np.array(ratios) * group.width)
    return sorted({int(width) for width in nearest if width < group.width}, reverse=True)


def _macs(model: SizeModel, analysis: Analysis, group: Group, width: int) -> float:
    widths = np.array([width if one is group else one.width for one in analysis.prunable], np.int64)
    return float(model.relative("macs", widths)[0])


def _ratio(part: torch.Tensor, whole: torch.Tensor) -> float:
    return float(part / whole) if float(whole) else float(part > 0)
