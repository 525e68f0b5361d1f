"""Decide for every layer of a graph whether it becomes sparse, by rule or by measuring, and make the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from compress.operators import DOMAIN
from exporters._runtime import Feed, Session
from exporters.sparse import layers
from exporters.sparse.choice import choose
from exporters.sparse.costs import Expectation, expect
from exporters.sparse.folding import fold_batch_norms
from exporters.sparse.layers import Layer
from exporters.sparse.neighbours import neighbours
from exporters.sparse.profiling import Profiled, layer_times
from exporters.sparse.proving import make_feed
from exporters.sparse.sizes import Shape, shapes_at
from exporters.sparse.storage import Packed, block_of, pack
from exporters.sparse.timing import Paired, compare

if TYPE_CHECKING:
    import onnx

OPERATORS_VERSION = 1
SECONDS_A_PROFILE = 6.0
SECONDS_A_NETWORK = 4.0
FEWEST_ZEROS = 0.2
"""A layer with a smaller share of zeros is dense in all but its place among sparse ones."""
REORDERINGS = (1.0, 0.0, 2.0)
"""How many times its expected time a reordering of pictures counts, in the choices from measured layers; the network
that is the fastest as a whole is taken."""

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

    @property
    def _numbers(self) -> set[int]:
        return {candidate.number for candidate in self._candidates}

    def _graph(self) -> ir.Model:
        model = ir.from_proto(self._proto)
        fold_batch_norms(model)
        layers.name_all(model)
        return model

    def _survey(self, number: int, node: ir.Node, found: Layer | str) -> LayerReport:
        report = LayerReport(layers.name_of(node), node.op_type)
        if isinstance(found, str):
            report.why = found
            return report
        report.weight, report.zeros = [*found.matrix.shape], found.zeros
        packed = pack(found.matrix, block_of(found.matrix, found.rows_in_group))
        report.pattern = packed.pattern if found.zeros >= FEWEST_ZEROS else None  # a few zeros have none
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

    def _expected_best(self, expected: Sequence[Expectation | None]) -> list[_Candidate]:
        """The choice from what is expected of each layer."""
        if not any(candidate.has_zeros for candidate in self._candidates):
            return []
        fixed = [one if number in self._numbers else _as_it_is(one) for number, one in enumerate(expected)]
        taken = choose(fixed, self._near)
        return [candidate for candidate in self._candidates if candidate.number in taken]

    def _by_rule(self) -> Decision:
        chosen = self._expected_best(self._expected)
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
        tried: list[list[_Candidate]] = []
        for choice in (self._expected_best(self._expected), *self._measured_best()):
            if choice and choice not in tried:
                tried.append(choice)
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
                between = BETWEEN if candidate.report.chosen else ""
                candidate.report.why = f"{candidate.report.why}; {NO_ZEROS}{between}"
        if not choice and not notes:
            notes.append("no layer was measured to be faster sparse: the file is the dense one")
        return Decision(made, self.reports, network, notes)

    def _measured_best(self) -> list[list[_Candidate]]:
        """The choices from what each layer takes where it is."""
        if not any(candidate.has_zeros for candidate in self._candidates):
            return []
        found: list[Expectation | None] = [
            None if number in self._numbers else one for number, one in enumerate(self._expected)
        ]
        took = self.profile()
        for candidate in self._candidates:
            found[candidate.number] = self._measured(candidate, took.get(candidate.report.name))
        pairs = [(old.dense, new.dense) for old, new in zip(self._expected, found, strict=True) if old and new]
        speed = sum(new for _, new in pairs) / (sum(old for old, _ in pairs) or 1.0)
        return [self._expected_best([_slower(one, speed * often) for one in found]) for often in REORDERINGS]

    def profile(self, seconds: float = SECONDS_A_PROFILE) -> dict[str, Profiled]:
        """Return what each layer takes in a profile of the dense network, and of one all sparse, by name; those of
        unknown sizes, and of which the profiles tell nothing, are left out.
        """
        self._progress("measuring every layer, dense and sparse")
        library, threads = self._conditions.library, self._conditions.threads
        every = self._made(self._candidates)
        times = layer_times(self._proto, every, self._feed(), library, threads=threads, seconds=seconds)
        found = {}
        for candidate in self._candidates:
            layer, x = self._found[candidate.number], candidate.input
            assert isinstance(layer, Layer), "candidates are layers"
            output = self._shapes.get(str(layer.output.name))
            sparse = times.sparse(candidate.report.name)
            dense = None if x is None or output is None else times.dense(layer, x, output)
            if x is not None and output is not None and dense is not None and sparse is not None:
                found[candidate.report.name] = Profiled(layer, candidate.packed, x, output, dense, sparse)
        return found

    def _measured(self, candidate: _Candidate, took: Profiled | None) -> Expectation | None:
        expected, report = self._expected[candidate.number], candidate.report
        if expected is None or took is None:
            report.why = f"not measured: {'its sizes are not known' if expected is None else 'profiles do not show it'}"
            return None
        report.measured = {"dense": took.dense, "sparse": took.sparse, "ratio": took.sparse / took.dense}
        report.why = f"measured: {took.sparse:.3g} ms sparse, {took.dense:.3g} ms dense"
        return replace(expected, dense=took.dense * 1e3, sparse=took.sparse * 1e3)

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
        return compare(dense, sparse, self._feed(), seconds=SECONDS_A_NETWORK)

    def _feed(self) -> Feed:
        session = Session(self._proto.SerializeToString(), where=self._where, without=None)
        return make_feed(self._proto, session, self._conditions.batch, self._conditions.sizes)


def _as_it_is(expected: Expectation | None) -> Expectation | None:
    return None if expected is None else replace(expected, sparse=None)


def _slower(expected: Expectation | None, times: float) -> Expectation | None:
    """With its reordering ``times`` as slow."""
    if expected is None:
        return None
    return replace(expected, reorder_in=times * expected.reorder_in, reorder_out=times * expected.reorder_out)


def _why(report: LayerReport) -> str:
    expected = f"expected at {report.expected_ratio:.2f} of the dense time"
    if report.zeros is not None and report.zeros < FEWEST_ZEROS:
        return f"by rule: {NO_ZEROS}{BETWEEN if report.chosen else f', {expected}'}"
    return f"by rule: {expected}" if report.chosen else f"by rule: {expected}, not worth it among its neighbours"
