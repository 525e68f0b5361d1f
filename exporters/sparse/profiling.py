"""How long each layer takes where it is: ONNX Runtime's own profiles of the dense network and of one all sparse."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from exporters._runtime import Feed, Session
from exporters.sparse.sizes import Shape
from exporters.sparse.storage import Packed

if TYPE_CHECKING:
    import onnx

    from exporters.sparse.layers import Layer

_FEWEST, _MOST = 12, 300
_BLOCK = 16  # ONNX Runtime fills channels up to blocks of 8 or 16
_CONVOLUTIONS, _PRODUCTS = ("Conv", "FusedConv"), ("Gemm", "FusedGemm", "MatMul", "FusedMatMul")

_Key = tuple[int, ...]


@dataclass(frozen=True)
class Profiled:
    """A layer with its packed weight, the shapes of its input and output, and milliseconds of a run."""

    layer: Layer
    packed: Packed
    x: Shape
    output: Shape
    dense: float
    sparse: float


@dataclass(frozen=True)
class Times:
    """Milliseconds of one run: of dense layers by what they compute, of sparse ones by name.

    ONNX Runtime renames dense layers when it fuses them. What a dense layer takes does not depend on its weights, so
    layers of the same sizes share the average of theirs.
    """

    by_sizes: Mapping[_Key, float]
    by_name: Mapping[str, float]

    def dense(self, layer: Layer, x: Shape, output: Shape) -> float | None:
        """Of the layer as ONNX Runtime computes it; None where the profile has none like it."""
        if None in x or None in output:
            return None
        first, last = ([size or 0 for size in shape] for shape in (x, output))
        weight = [len(layer.matrix), layer.matrix.shape[1]]
        if layer.operator == "SparseConv":
            height, width = layer.kernel
            weight = [weight[0], weight[1] // (height * width), height, width]
        return self.by_sizes.get(_key(first, last, weight))

    def sparse(self, name: str) -> float | None:
        """Of the sparse operator of that name."""
        return self.by_name.get(name)


def layer_times(
    dense: onnx.ModelProto, sparse: onnx.ModelProto, feed: Feed, library: Path, *, threads: int, seconds: float
) -> Times:
    """Run both networks in turn for about ``seconds``, each twice, since the other has emptied the caches.

    The second run counts, and of each operator the second fastest tenth.
    """
    # A profile is named after the second in which its session was made: a folder for each.
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        both = [
            Session(model.SerializeToString(), threads=threads, library=library, measured=True, profile=Path(folder))
            for model, folder in ((dense, first), (sparse, second))
        ]
        end, runs = time.perf_counter() + seconds, 0
        while runs < _FEWEST or (time.perf_counter() < end and runs < _MOST):
            runs += 1
            for session in both:
                session.run(feed)
                session.run(feed)
        before, after = (session.end_profile() for session in both)
    return Times(_dense_times(before), _sparse_times(after))


def _dense_times(events: Sequence[dict[str, Any]]) -> dict[_Key, float]:
    shared: dict[_Key, list[float]] = defaultdict(list)
    for event, took in _typical(events):
        kind, args = event["args"]["op_name"], event["args"]
        shapes = [size for item in args["input_type_shape"] for size in item.values()]
        outputs = [size for item in args["output_type_shape"] for size in item.values()]
        if kind in _CONVOLUTIONS and len(shapes) > 1 and len(shapes[1]) == 4:
            shared[_key(shapes[0], outputs[0], shapes[1])].append(took)
        elif kind in _PRODUCTS and shapes and shapes[0]:  # a packed weight is not among the inputs
            shared[_key(shapes[0], outputs[0], ())].append(took)
    return {key: sum(times) / len(times) for key, times in shared.items()}


def _sparse_times(events: Sequence[dict[str, Any]]) -> dict[str, float]:
    kinds = ("SparseConv", "SparseMatMul")
    return {_name(event): took for event, took in _typical(events) if event["args"]["op_name"] in kinds}


def _typical(events: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """One event of each operator, and milliseconds."""
    durations: dict[str, list[float]] = defaultdict(list)
    for event in events:
        durations[event["name"]].append(event["dur"] / 1e3)  # in the order of the runs
    last = {event["name"]: event for event in events}
    return [(event, quantiles(durations[name][1::2], n=10)[1]) for name, event in last.items()]


def _name(event: dict[str, Any]) -> str:
    return str(event["name"]).removesuffix("_kernel_time")


def _key(x: Sequence[int], output: Sequence[int], weight: Sequence[int]) -> _Key:
    """Sizes of picture, result and kernel, with channels in whole blocks; of products rows, columns and features."""
    if len(weight) != 4:
        rows = 1
        for size in x[:-1]:
            rows *= size
        return rows, x[-1], output[-1]
    features, channels = (-(-size // _BLOCK) for size in weight[:2])
    return x[0], *x[2:], *output[2:], features, min(weight[1], 3) if weight[1] < 4 else 3 + channels, *weight[2:]
