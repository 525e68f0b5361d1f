"""Decide for every layer of a graph whether it becomes sparse, by rule or by measuring, and make the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from compress.operators import DOMAIN
from exporters._runtime import Session
from exporters.sparse import layers
from exporters.sparse.choice import choose
from exporters.sparse.costs import Expectation, expect
from exporters.sparse.folding import fold_batch_norms
from exporters.sparse.layers import Layer
from exporters.sparse.neighbours import neighbours
from exporters.sparse.proving import make_feed
from exporters.sparse.sizes import Shape, shapes_at
from exporters.sparse.storage import Packed, block_of, pack
from exporters.sparse.timing import Paired, compare, compare_layer

if TYPE_CHECKING:
    import onnx

OPERATORS_VERSION = 1
SECONDS_A_LAYER = 0.25
SECONDS_A_NETWORK = 4.0
FEWEST_ZEROS = 0.2
"""A layer with a smaller share of zeros is dense in all but its place among sparse ones."""
STRICTNESS = (0.9, 0.7, 0.5)
"""Layers whose measured ratio sparse / dense is below these become sparse, in turn, after the rule's own choice; the
fastest network is taken."""

NO_ZEROS = "hardly any zeros"
BETWEEN = ", but between sparse layers"

Progress = Callable[[str], None]


def silent(_what: str) -> None:
    """Drop the message."""


@dataclass(frozen=True)
class Conditions:
    """For what the layers are chosen, and the library of this machine to run them with."""

    library: Path
    threads: int
    batch: int
    sizes: dict[str, int]


@dataclass
class LayerReport:
    """What was decided on one layer, and why. Times in milliseconds, ratios sparse / dense; None: not measured."""

    name: str
    kind: str
    weight: list[int] | None = None
    pattern: str | None = None
    zeros: float | None = None
    chosen: bool = False
    why: str = ""
    input: list[int | None] | None = None
    expected_ratio: float | None = None
    measured: dict[str, float] | None = None
    fused: list[str] = field(default_factory=list)


@dataclass
class Decision:
    """The graph, what was decided on each layer, and how the network does as a whole, where that was measured."""

    proto: onnx.ModelProto
    reports: list[LayerReport]
    network: Paired | None
    notes: list[str]

    @property
    def chosen(self) -> list[LayerReport]:
        """The layers that are sparse."""
        return [report for report in self.reports if report.chosen]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the graph as JSON types."""
        network = asdict(self.network) if self.network else None
        return {"layers": [asdict(report) for report in self.reports], "network": network, "notes": self.notes}


@dataclass(eq=False)
class _Candidate:
    number: int  # of the layer among all that were found
    packed: Packed
    input: Shape | None
    report: LayerReport
    ratio: float = 1.0

    @property
    def has_zeros(self) -> bool:
        """Whether its zeros may save time, and not only its place among others."""
        return (self.report.zeros or 0.0) >= FEWEST_ZEROS


class Survey:
    """The layers of one dense graph."""

    def __init__(self, proto: onnx.ModelProto, where: str, conditions: Conditions, progress: Progress) -> None:
        self._proto, self._where, self._conditions, self._progress = proto, where, conditions, progress
        self._shapes = shapes_at(proto, conditions.batch, conditions.sizes)
        self.reports: list[LayerReport] = []
        self._candidates: list[_Candidate] = []
        pairs = list(layers.find(self._graph()))
        self._found = [found for _, found in pairs]
        self._near = neighbours([node for node, _ in pairs])
        self._expected: list[Expectation | None] = [None] * len(pairs)
        for number, (node, found) in enumerate(pairs):
            self.reports.append(self._survey(number, node, found))

    def _graph(self) -> ir.Model:
        model = ir.from_proto(self._proto)
        fold_batch_norms(model)
        return model

    def _survey(self, number: int, node: ir.Node, found: Layer | str) -> LayerReport:
        report = LayerReport(layers.name_of(node), node.op_type)
        if isinstance(found, str):
            report.why = found
            return report
        report.weight, report.zeros = [*found.matrix.shape], found.zeros
        packed = pack(found.matrix, block_of(found.matrix, found.rows_in_group))
        report.pattern = packed.pattern if found.zeros else None
        shape = self._shapes.get(str(found.x.name))
        report.input = None if shape is None else list(shape)
        expected = expect(found, packed, shape, self._shapes.get(str(found.output.name)))
        if isinstance(expected, Expectation):
            self._expected[number] = expected
        else:
            report.why = expected
        if found.zeros < FEWEST_ZEROS and found.operator != "SparseConv":
            report.why = NO_ZEROS
            return report
        self._candidates.append(_Candidate(number, packed, shape, report))
        return report

    def decide(self, *, measure: bool) -> Decision:
        """Return the graph with the layers that are worth it sparse; the dense graph as it is where none are."""
        decision = self._by_measuring() if measure else self._by_rule()
        if not decision.chosen and not decision.notes:
            decision.notes.append("no layer is expected to be faster sparse: the file is the dense one")
        return decision

    def _expected_best(self) -> list[_Candidate]:
        """The rule's choice."""
        if not any(candidate.has_zeros for candidate in self._candidates):
            return []
        free = {candidate.number for candidate in self._candidates}
        fixed = [one if number in free else _as_it_is(one) for number, one in enumerate(self._expected)]
        taken = choose(fixed, self._near)
        return [candidate for candidate in self._candidates if candidate.number in taken]

    def _by_rule(self) -> Decision:
        chosen = self._expected_best()
        for candidate in self._candidates:
            expected, report = self._expected[candidate.number], candidate.report
            report.chosen = candidate in chosen
            if expected is None:
                continue
            if expected.sparse is None:
                report.why = f"by rule: {expected.why}"
                continue
            report.expected_ratio = expected.sparse / expected.dense
            report.why = _why(report)
        return Decision(self._made(chosen), self.reports, None, [])

    def _by_measuring(self) -> Decision:
        with_zeros = [candidate for candidate in self._candidates if candidate.has_zeros]
        for done, candidate in enumerate(with_zeros):
            self._progress(f"measuring {candidate.report.name} ({done + 1} of {len(with_zeros)})")
            self._measure(candidate)
        fast = [self._expected_best(), *([one for one in with_zeros if one.ratio < most] for most in STRICTNESS)]
        tried = [choice for number, choice in enumerate(fast) if choice and choice not in fast[:number]]
        results: list[tuple[Paired, list[_Candidate], onnx.ModelProto]] = []
        for choice in tried:
            self._progress(f"measuring the network with {len(choice)} sparse layers")
            made = self._made(choice)
            results.append((self._whole(made), choice, made))
        network, choice, made = min(results, key=lambda result: result[0].ratio, default=(None, [], self._proto))
        notes: list[str] = []
        if network is not None and network.high >= 1.0:
            notes.append(
                f"as a whole the network is not faster sparse ({network.sparse:.3g} ms against {network.dense:.3g} ms "
                "dense): the file is the dense one"
            )
            choice, made = [], self._proto
        for candidate in self._candidates:
            candidate.report.chosen = candidate in choice
            if not candidate.has_zeros:
                candidate.report.why = f"not measured: {NO_ZEROS}{BETWEEN if candidate.report.chosen else ''}"
        if not choice and not notes:
            notes.append("no layer was measured to be faster sparse: the file is the dense one")
        return Decision(made, self.reports, network, notes)

    def _measure(self, candidate: _Candidate) -> None:
        found = self._found[candidate.number]
        assert isinstance(found, Layer), "candidates are layers"
        if candidate.input is None or None in candidate.input:
            candidate.report.why = "not measured: the size of its input is not known"
            candidate.ratio = 1.0
            return
        shape = tuple(size for size in candidate.input if size is not None)
        library, threads = self._conditions.library, self._conditions.threads
        took = compare_layer(found, candidate.packed, shape, library, threads=threads, seconds=SECONDS_A_LAYER)
        candidate.ratio = took.ratio
        candidate.report.measured = asdict(took)
        candidate.report.why = f"measured: {took.sparse:.3g} ms sparse, {took.dense:.3g} ms dense"

    def _made(self, chosen: Sequence[_Candidate]) -> onnx.ModelProto:
        """The graph with these layers sparse."""
        from onnx_ir.passes.common import RemoveUnusedNodesPass

        if not chosen:
            return self._proto
        model = self._graph()
        found = [layer for _, layer in layers.find(model)]
        taken: set[ir.Node] = set()
        for candidate in chosen:
            layer = found[candidate.number]
            assert isinstance(layer, Layer), "candidates are layers"
            layers.extend(layer, taken)
            candidate.report.fused = list(layer.fused)
            layers.replace(model, layer, candidate.packed.values, candidate.packed.mask, candidate.packed.block)
        RemoveUnusedNodesPass()(model)
        model.opset_imports[DOMAIN] = OPERATORS_VERSION
        return ir.to_proto(model)

    def _whole(self, made: onnx.ModelProto) -> Paired:
        threads, library = self._conditions.threads, self._conditions.library
        dense = Session(self._proto.SerializeToString(), where=self._where, threads=threads, measured=True)
        sparse = Session(made.SerializeToString(), where=self._where, threads=threads, library=library, measured=True)
        feed = make_feed(self._proto, dense, self._conditions.batch, self._conditions)
        return compare(dense, sparse, feed, seconds=SECONDS_A_NETWORK)


def _as_it_is(expected: Expectation | None) -> Expectation | None:
    return None if expected is None else replace(expected, sparse=None)


def _why(report: LayerReport) -> str:
    expected = f"expected at {report.expected_ratio:.2f} of the dense time"
    if report.zeros is not None and report.zeros < FEWEST_ZEROS:
        return f"by rule: {NO_ZEROS}{BETWEEN if report.chosen else f', {expected}'}"
    return f"by rule: {expected}" if report.chosen else f"by rule: {expected}, not worth it among its neighbours"
