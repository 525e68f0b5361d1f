"""What one file spends on one layer: its operators, their work, and which roof of the machine is the nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.runtimes.base import OperatorTiming
from deploy.why import costs
from deploy.why.graph import Graph
from deploy.why.peak import rate_of
from deploy.why.records import Bound, Peak, Side

if TYPE_CHECKING:
    import onnx

COPIES = frozenset(
    [
        "Cast",
        "Contiguous",
        "Convert",
        "DequantizeLinear",
        "MemcpyFromHost",
        "MemcpyToHost",
        "QuantizeLinear",
        "Reformat",
        "Reorder",
        "ReorderInput",
        "ReorderOutput",
        "Transpose",
    ]
)
"""Kinds of operators, in the words of the runtimes, that copy or convert and compute nothing."""
ACTIVATIONS = frozenset(
    ["Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Sigmoid", "Silu", "Tanh"]
)
FAR = 0.1
"""An operator that reaches less of the nearest roof than this is bound by none of them, but by how it is computed."""
CALLED = 0.4
"""Of its time has to be the call of an operator that is said to be bound by that."""
_BLOCKED = "_nchwc"


@dataclass(frozen=True)
class Part:
    """Operators of one file that belong together: those of a layer, or a single one without a layer."""

    name: str
    operators: tuple[OperatorTiming, ...]
    nodes: tuple[onnx.NodeProto, ...]
    work: costs.Work
    side: Side
    graph: Graph

    @property
    def is_copy(self) -> bool:
        """Whether it copies or converts, and computes nothing."""
        return all(operator.kind in COPIES for operator in self.operators)

    @property
    def layered(self) -> bool:
        """Whether its name is that of a layer of the checkpoint."""
        return any(operator.layers for operator in self.operators)

    @property
    def token(self) -> str:
        """What it is: the operator that multiplies, in the file's words, else what the runtime calls it."""
        return self.head.op_type if self.head is not None else self.operators[0].kind

    @property
    def providers(self) -> set[str]:
        """Where the runtime runs it."""
        return {operator.provider for operator in self.operators if operator.provider}

    @property
    def head(self) -> onnx.NodeProto | None:
        """The node that multiplies, of those with most multiply-accumulates."""
        heads = [node for node in self.nodes if costs.width(node, self.graph) is not None]
        return max(heads, key=lambda node: costs.macs(node, self.graph) or 0, default=None)

    @property
    def blocked(self) -> bool:
        """Whether ONNX Runtime computes it in blocks of channels."""
        return any(operator.name.endswith(_BLOCKED) for operator in self.operators)


def split(operators: Sequence[OperatorTiming], graph: Graph, peak: Peak) -> list[Part]:
    """Put a file's operators, in the order of execution, together by layer, and say what each part does."""
    grouped: dict[str, list[OperatorTiming]] = {}
    before = ""
    counted: dict[str, int] = {}
    for operator in operators:
        name = " + ".join(operator.layers) or _own_name(operator, graph)
        if name:
            before = name
        else:
            plain = f"{operator.kind} after {before}" if before else f"{operator.kind} at the start"
            counted[plain] = counted.get(plain, 0) + 1
            name = plain if counted[plain] == 1 else f"{plain} ({counted[plain]})"
        grouped.setdefault(name, []).append(operator)
    resident = sum(tensor.bytes or 0 for tensor in graph.tensors.values() if tensor.constant)
    return [_part(name, found, graph, peak, resident) for name, found in grouped.items()]


def _own_name(operator: OperatorTiming, graph: Graph) -> str:
    """The name of the node that multiplies, of which what follows is said to come after."""
    for name in operator.nodes:
        node = graph.nodes.get(name)
        if node is not None and costs.width(node, graph) is not None:
            return name
    return ""


def _part(name: str, operators: Sequence[OperatorTiming], graph: Graph, peak: Peak, resident: int) -> Part:
    protos = [[graph.nodes[node] for node in found.nodes if node in graph.nodes] for found in operators]
    works = [costs.work(nodes, graph) if nodes else costs.NOTHING_KNOWN for nodes in protos]
    milliseconds = sum(operator.milliseconds for operator in operators)
    total = costs.add(works)
    roofs = _roofs(works, protos, peak, resident)
    bound, attained = _nearest(roofs, milliseconds)
    if roofs is None and all(operator.kind in COPIES for operator in operators):
        # How much the runtime's own copies move is not told, but they do nothing else.
        bound = "overhead" if milliseconds < 2 * len(operators) * peak.overheads.get("other", 0.0) else "memory"
    side = Side(
        milliseconds=milliseconds,
        kinds=list(dict.fromkeys(operator.kind for operator in operators)),
        macs=total.macs,
        bytes=total.bytes,
        width=total.width,
        bound=bound,
        attained=attained,
        nodes=[node for operator in operators for node in operator.nodes],
        sparse=total.sparse,
    )
    return Part(name, tuple(operators), tuple(node for nodes in protos for node in nodes), total, side, graph)


def _roofs(
    works: Sequence[costs.Work], protos: Sequence[Sequence[onnx.NodeProto]], peak: Peak, resident: int
) -> dict[Bound, float] | None:
    """The milliseconds that these operators cannot be below, by what they need them for; ``None`` if not known."""
    compute = memory = overhead = 0.0
    for work, nodes in zip(works, protos, strict=True):
        if work.macs is None or work.weights is None or work.activations is None:
            return None
        compute += work.macs / peak.macs * 1e3
        memory += work.activations / rate_of(work.activations, peak) * 1e3
        memory += work.weights / rate_of(resident, peak) * 1e3
        overhead += peak.overheads.get(_class(nodes), peak.overhead)
    return {"compute": compute, "memory": memory, "overhead": overhead}


def _nearest(roofs: dict[Bound, float] | None, milliseconds: float) -> tuple[Bound, float | None]:
    """Which roof they are nearest to, and the share of it that they reach."""
    if roofs is None or milliseconds <= 0:
        return "unknown", None
    attained = min(1.0, (max(roofs["compute"], roofs["memory"]) + roofs["overhead"]) / milliseconds)
    if attained < FAR:
        return "unknown", attained
    nearest = max(roofs, key=lambda bound: roofs[bound])
    if nearest == "overhead" and roofs["overhead"] < CALLED * milliseconds:
        nearest = "compute" if roofs["compute"] >= roofs["memory"] else "memory"
    return nearest, attained


def _class(nodes: Sequence[onnx.NodeProto]) -> str:
    kinds = {node.op_type for node in nodes}
    if any("Conv" in kind for kind in kinds):
        return "convolution"
    return "product" if any("MatMul" in kind or "Gemm" in kind for kind in kinds) else "other"
