"""How the runtime lays channels out: in blocks that odd widths fill up, or do not fit into.

ONNX Runtime's processor provider computes convolutions in blocks of channels (NCHWc) where it can: 16 of them with
AVX-512, 8 with AVX2. What is not a multiple is padded with zeros, and where the channels are no multiple of a smaller
number, the convolution is computed in plain order. Both numbers are read from what it makes of small files here.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.why import tiny

if TYPE_CHECKING:
    import onnx

DOMAIN = "com.microsoft.nchwc"
_RUNTIME = "onnxruntime-cpu"
_ALIGNMENTS = (1, 2, 4, 8, 16, 32)


@functools.lru_cache(maxsize=8)
def blocks(runtime: str) -> tuple[int | None, int | None]:
    """Return the channels of a block and what widths must be a multiple of to be laid out so; ``None`` without."""
    if runtime != _RUNTIME:
        return None, None
    alone = optimised(tiny.convolutions((64, 1), 8, 1))
    if not _blocked(alone):
        return None, None
    names = {node.input[1] for node in alone.graph.node if node.domain == DOMAIN and node.op_type == "Conv"}
    block = next(int(tensor.dims[0]) for tensor in alone.graph.initializer if tensor.name in names)
    fitting = (step for step in _ALIGNMENTS if _blocked(optimised(tiny.convolutions((64 + step, 64), 8, 1))))
    return block, next(fitting, None)


def optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph that ONNX Runtime makes of ``model`` on this machine."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        source = tiny.save(model, Path(folder) / "tiny.onnx")
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def _blocked(model: onnx.ModelProto) -> bool:
    return any(node.domain == DOMAIN and node.op_type == "Conv" for node in model.graph.node)
