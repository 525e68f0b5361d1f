"""``compress.sparsify``: choose masks to meet a target, at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from compress.errors import PlanError
from compress.masks import Mask
from compress.program import Program
from compress.sparsity.choosing import Chooser, Chosen
from compress.sparsity.criteria import Criterion
from compress.sparsity.layers import Selection, maskable_layers, select
from compress.sparsity.looking import look
from compress.sparsity.report import SparsityReport, sparse_layers
from compress.sparsity.request import LEAST, SPARSITY, SparsityRequest

if TYPE_CHECKING:
    from compress.data import DataSource


@dataclass(frozen=True)
class SparsifyResult:
    """The masked Program (the one given where ``dry_run``), its masks by weight, and the report."""

    program: Program
    masks: dict[str, Mask]
    report: SparsityReport


def sparsify(
    program: Program,
    sparsity: float | str | None = None,
    *,
    pattern: str = "unstructured",
    criterion: str = "magnitude",
    allocation: str = "uniform",
    dense: Iterable[str] = (),
    mask: Iterable[str] = (),
    least: float = LEAST,
    data: DataSource | Iterable[Any] | None = None,
    seed: int = 0,
    dry_run: bool = False,
) -> SparsifyResult:
    """Set weights of ``program`` to zero for good and return the masked network; ``program`` is left as it is.

    Whatever trains the result keeps its zeros: :func:`compress.training.finetune`, and any loop over
    ``result.program.module(training=True)``. Masks that ``program`` has already stay, and count.

    Args:
        program: what to mask; its widths stay. To cut channels too, :func:`compress.prune` first.
        sparsity: share of zeros among the weights of the layers that are masked, such as 0.8; or ``"macs=0.3"`` or
            ``"params=0.3"``: what is left of the whole network's, counting zeros as removed. Pattern ``2:4`` is half
            zeros by itself: None.
        pattern: ``unstructured``, ``4x1``, ``2x1`` or ``2:4`` (:mod:`compress.sparsity.patterns`).
        criterion: ``magnitude``; with ``data`` also ``movement``, ``taylor`` and ``learned``
            (:mod:`compress.sparsity.criteria`).
        allocation: ``uniform``, ``global``, ``erk`` or ``macs`` (:mod:`compress.sparsity.allocation`).
        dense: patterns of layer names that stay dense, beside what stays dense by itself: stems (convolutions that
            read an input), depthwise convolutions, squeeze-and-excite layers and the last layer.
        mask: patterns of layer names that are masked although they would stay dense by themselves.
        least: share of its units that every layer keeps at least, and never less than one.
        data: a data source, or an iterable of ``(inputs, target)`` with ``inputs`` a tuple of tensors.
        seed: for the order of the data.
        dry_run: choose and report, mask nothing.

    Raises:
        PlanError: a wrong name or number; a pattern that matches no layer; data are missing; the network has more
            zeros already.
    """
    request = SparsityRequest(sparsity, pattern, criterion, allocation, tuple(dense), tuple(mask), least, seed)
    return sparsify_as(program, request, data=data, dry_run=dry_run)


def sparsify_as(
    program: Program,
    request: SparsityRequest,
    *,
    data: DataSource | Iterable[Any] | None = None,
    dry_run: bool = False,
) -> SparsifyResult:
    """:func:`sparsify` with its arguments in a request."""
    from compress.choosing import score_batches

    selection = selected(program, request)
    chooser = begun(program, selection, request)
    scoring = scoring_of(program, chooser, request)
    if scoring.needs_data:
        batches = score_batches(data, request.seed) if data is not None else None
        look(scoring, program, [layer.weight for layer in selection.chosen], batches)
    chosen = chooser.choose(scoring.scores(weights_of(program, chooser)))
    masked = program.copy()
    masked.set_masks(merged(program, chosen))
    made = report(program, masked, selection, chooser, chosen, request)
    note(masked, request.settings(), request.seed, made)
    return SparsifyResult(program if dry_run else masked, masked.masks, made)


def selected(program: Program, request: SparsityRequest) -> Selection:
    """The layers that ``request`` masks. Raises as :func:`compress.sparsity.layers.select`."""
    return select(maskable_layers(program), request.dense, request.mask, request.shape)


def begun(program: Program, selection: Selection, request: SparsityRequest) -> Chooser:
    """Make the chooser. Raises :class:`PlanError` where the network has more zeros than are asked for."""
    chooser = Chooser(program, selection.chosen, request)
    if chooser.wanted > chooser.present:
        raise PlanError(
            f"the network has more zeros already than {request.asked} leaves",
            hint="ask for more zeros, or begin with the dense network: zeros stay",
        )
    return chooser


def scoring_of(program: Program, chooser: Chooser, request: SparsityRequest) -> Criterion:
    """Make the criterion and let it begin with ``program``'s weights."""
    scoring = request.make_criterion()
    sums = {layer.weight: (lambda values, layer=layer: chooser.sums(layer, values)) for layer in chooser.layers}

    def kept(scores: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: mask.kept for name, mask in chooser.choose(scores).masks.items()}

    scoring.begin(weights_of(program, chooser), sums, kept)
    return scoring


def weights_of(program: Program, chooser: Chooser) -> dict[str, torch.Tensor]:
    """The weights of the chooser's layers, as they are now, by name."""
    tensors = program.tensors
    return {layer.weight: tensors[layer.weight].detach() for layer in chooser.layers}


def merged(program: Program, chosen: Chosen) -> dict[str, Mask]:
    """The masks chosen, beside those of other layers that ``program`` has already."""
    return {**program.masks, **chosen.masks}


def note(masked: Program, settings: dict[str, Any], seed: int, made: SparsityReport) -> None:
    """Keep in the network's information what was done."""
    figures = {"sparsity": made.sparsity, "zeros": made.zeros, "weights": made.weights}
    masked.info.record("sparsify", arguments=settings, seed=seed, metrics=figures)


def report(
    program: Program,
    masked: Program,
    selection: Selection,
    chooser: Chooser,
    chosen: Chosen,
    request: SparsityRequest,
) -> SparsityReport:
    """Compare ``masked`` with ``program``, which the rest led from one to the other."""
    layers = maskable_layers(masked)
    after = masked.count()
    masks = masked.masks
    return SparsityReport(
        requested=request.asked,
        note="; ".join(_remarks(masked, chooser, chosen, request)) or None,
        weights=chooser.weights,
        zeros=sum(masks[layer.weight].zeros for layer in chooser.layers),
        layers=sparse_layers(masked, layers, selection.dense, after),
        before=program.count(),
        after=after,
    )


def _remarks(masked: Program, chooser: Chooser, chosen: Chosen, request: SparsityRequest) -> list[str]:
    found = []
    left = chooser.left(masked.masks)
    short = left - chooser.wanted
    # Close to 1 a hundredth of the weights is most of what was to be left; a floor is rounded up to whole units.
    stuck = len(chosen.at_floor) == len(chooser.layers) and short > 0.05 * chooser.wanted
    if not request.shape.whole and (stuck or short > 0.01 * max(chooser.total, 1)):
        measure = request.goal[0]
        share = left / chooser.total
        where = f"zeros {1 - share:.3f}" if measure == SPARSITY else f"{measure}={share:.3f}"
        found.append(
            f"{request.asked} is out of reach: {where} is where every layer that is masked keeps its least; mask more "
            "layers (--mask), or lower the floor (--sparsity-least)"
        )
    if chosen.at_floor:
        some = ", ".join(chosen.at_floor[:3]) + (" ..." if len(chosen.at_floor) > 3 else "")
        found.append(
            f"{len(chosen.at_floor)} layers keep only their least of {request.least:g} (--sparsity-least): {some}"
        )
    mixed = [layer.name for layer in chooser.layers if chosen.masks[layer.weight].pattern != request.pattern]
    if mixed:
        found.append(f"{len(mixed)} layers had zeros of another pattern before and are unstructured: {mixed[0]} ...")
    silent = sum(_silent(layer.layout.opened(chosen.masks[layer.weight].kept)) for layer in chooser.layers)
    if silent:
        found.append(f"output channels with no weight left, which give a constant: {silent}")
    return found


def _silent(kept: torch.Tensor) -> int:
    return int((~kept.flatten(2).any(dim=2)).sum())
