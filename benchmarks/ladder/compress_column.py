"""This engine's rungs."""

from __future__ import annotations

import json
import operator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.ladder.climbing import Climber, Unreached, backward, outputs_of
from benchmarks.ladder.fresh import freshly
from benchmarks.ladder.references import submodule
from benchmarks.ladder.rows import Row

if TYPE_CHECKING:
    from torch import fx

    from compress import Program

ENGINE = ("captured", "pruned", "proven", "trained")
FILES = ("reloaded", "onnx", "tensorrt")
TARGET = 0.5
CLOSE = 0.01
CAPABILITY = "8.6"


class Compress(Climber):
    """capture, prune to half the MACs, prove, train a step, save, export, compile."""

    rungs: ClassVar[tuple[str, ...]] = ENGINE + FILES
    _dense: Program | None = None
    _small: Program | None = None

    def describe(self) -> Row:
        """The part of a detector that is captured."""
        return {"submodule": submodule(self.ref)}

    @property
    def dense(self) -> Program:
        """The captured network."""
        if self._dense is None:
            raise Unreached
        return self._dense

    @property
    def small(self) -> Program:
        """The pruned network."""
        if self._small is None:
            raise Unreached
        return self._small

    def captured(self) -> Row:
        """Both graphs are captured."""
        from compress.loading import create

        self._dense = create(self.ref, submodule=submodule(self.ref))
        count = self._dense.count()
        return {"nodes": len(self._dense.graphs[False].nodes), "dense_macs": count.macs, "dense_params": count.params}

    def pruned(self) -> Row:
        """Half of the MACs are left, within 0.01 of the dense network's."""
        import compress

        result = compress.prune(self.dense, f"macs={TARGET}")
        self._small = result.program
        before, after = result.report.before, result.report.after
        unknown = sorted(set(result.report.unknown_operators.values()))
        facts: Row = {"macs": after.macs / before.macs, "params": after.params / before.params, "unknown": unknown}
        if abs(facts["macs"] - TARGET) > CLOSE:
            raise RuntimeError(f"reached {facts['macs']:.3f} of the MACs ({result.report.note}; unknown: {unknown})")
        return facts | {"reachable": round(result.report.reachable, 4)}

    def proven(self) -> Row:
        """Both proofs in float64: the permuted and the cut network compute what they must."""
        from compress.axes.verify import verify

        found = verify(self.dense)
        if not found.passed:
            raise RuntimeError(
                f"permutation {found.permutation_error:.1e}, removal {found.removal_error:.1e}, "
                f"allowed {found.allowed:.1e}"
            )
        return {"permutation": found.permutation_error, "removal": found.removal_error, "moved": round(found.moved, 4)}

    def trained(self) -> Row:
        """A training step's forward and backward run."""
        backward(outputs_of(self.small.module(training=True)(*self.small.example_inputs())))
        return {}

    def reloaded(self) -> Row:
        """A fresh process loads the file: equal graphs of both modes, equal weights, equal outputs."""
        path = self.folder / "small.pt2"
        self.small.save(path)
        here, there = evidence(self.small), freshly(_loaded_evidence, str(path))
        wrong = [name for name in here if here[name] != there[name]]
        if wrong:
            raise RuntimeError(f"the reloaded network differs in {', '.join(wrong)}")
        return {"file_bytes": path.stat().st_size}

    def onnx(self) -> Row:
        """The ONNX file's outputs in ONNX Runtime, against the network in float64, batch norms calibrated."""
        import exporters
        from benchmarks.ladder.settling import settled

        artifact = exporters.to_onnx(settled(self.small), self.folder / "small.onnx")
        return {"onnx_nodes": artifact.metadata["nodes"], **onnx_figures(artifact.verification)}

    def tensorrt(self) -> Row:
        """TensorRT for RTX parses the ONNX file and compiles it ahead of time; nothing is executed."""
        return compiled(self)


def onnx_figures(verification: Row) -> Row:
    """The figures of an export worth a place in the row.

    Raises:
        RuntimeError: not even float32 differs from float64, so the outputs hold nothing of what the network computes.
    """
    if verification["float32_noise"] == 0:
        raise RuntimeError("the outputs are the same in float32 and float64: they prove nothing")
    names = {"max_error": "onnx_error", "allowed": "onnx_allowed", "conclusive": "onnx_conclusive"}
    return {short: verification[name] for name, short in names.items()}


def compiled(climber: Climber) -> Row:
    """Compile ``small.onnx`` in the climber's folder."""
    import exporters

    source = climber.folder / "small.onnx"
    if not source.exists():
        raise Unreached
    exporters.to_tensorrt(source, climber.folder / "small.engine", compute_capability=CAPABILITY)
    return {}


def _loaded_evidence(path: str) -> dict[str, str]:
    import compress

    return evidence(compress.load(path))


def evidence(program: Program) -> dict[str, str]:
    """Hashes of what must be equal after saving and loading: both graphs, the weights, and what is computed."""
    import torch

    with torch.no_grad():
        outputs = outputs_of(program.module()(*program.example_inputs()))
    digest = sha256()
    for part in outputs:
        digest.update(part.contiguous().numpy().tobytes())
    return {
        "graphs": sha256(json.dumps(_anonymous(program), sort_keys=True).encode()).hexdigest(),
        "weights": program.fingerprint(),
        "outputs": digest.hexdigest(),
    }


def _anonymous(program: Program) -> dict[str, Any]:
    """Both graphs with nodes numbered in order and defaults left out: exporting anew names some nodes differently,
    fetches tensors in another order, does not write arguments that are as by default, writes equal sizes in another
    way, and drops source lines. Sizes stand where they are used, as what they are for two inputs.
    """
    from compress.graph_json import graph_to_json
    from compress.shapes import copy_graph

    found = {}
    for training, graph in program.graphs.items():
        numbers: dict[str, Any] = {}
        entries: list[Any] = []
        for entry in graph_to_json(_without_defaults(copy_graph(graph))):
            target, args = entry["target"], _numbered([entry["args"], entry["kwargs"]], numbers)
            sizes = _sizes(target, args[0])
            if entry["op"] == "get_attr":
                numbers[entry["name"]] = target
            elif sizes is not None:
                numbers[entry["name"]] = {"sizes": sizes}
            else:
                numbers[entry["name"]] = len(entries)
                entries.append([entry["op"], target, args])
        found[str(training)] = entries
    return found


def _sizes(target: str, args: list[Any]) -> list[Any] | None:
    """A size for two inputs, where that is what a node computes."""
    if target == "aten.sym_size.int":
        return [args[1] + 3, args[1] + 1009]
    if not target.startswith("operator.") or any(isinstance(part, dict) and "sizes" not in part for part in args):
        return None
    function = getattr(operator, target.removeprefix("operator."))
    parts = [part["sizes"] if isinstance(part, dict) else [part, part] for part in args]
    return [function(*pair) for pair in zip(*parts, strict=True)]


def _without_defaults(graph: fx.Graph) -> fx.Graph:
    for node in graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            continue
        defaults = {argument.name: argument.default_value for argument in schema.arguments}
        while node.args and node.args[-1] == list(defaults.values())[len(node.args) - 1]:
            node.args = node.args[:-1]
        node.kwargs = {name: value for name, value in node.kwargs.items() if value != defaults[name]}
    return graph


def _numbered(value: Any, numbers: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "node" in value and isinstance(numbers[value["node"]], dict):
            return numbers[value["node"]]
        return {key: numbers[part] if key == "node" else _numbered(part, numbers) for key, part in value.items()}
    return [_numbered(part, numbers) for part in value] if isinstance(value, list) else value
