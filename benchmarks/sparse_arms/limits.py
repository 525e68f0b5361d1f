"""How far each sparse layer is from what the machine could do: its multiply-adds and bytes over measured peaks."""

# ruff: noqa: T201
from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sparse_arms.files import Files

RUNS = 40


def print_layers(files: Files, pattern: str, sparsity: float) -> None:
    """Profile one network with one thread and print a line for each sparse operator."""
    path, report = files.sparse(pattern, sparsity, batch=1)
    multiply_adds, bytes_a_second = _peaks()
    print(f"peak {multiply_adds / 1e9:.0f} G multiply-adds/s (dense product), {bytes_a_second / 1e9:.1f} GB/s (copy)")
    print(f"{'layer':<40} {'us':>7} {'limit us':>9} {'share':>6}  bound by")
    weights = _nonzeros(path)
    for name, (micros, inputs, outputs) in sorted(_profile(path).items()):
        if name not in weights:
            continue
        nonzeros, places_of = weights[name]
        places = outputs / places_of
        compute = nonzeros * places / multiply_adds * 1e6
        memory = 4 * (inputs + outputs + 2 * nonzeros) / bytes_a_second * 1e6
        limit = max(compute, memory)
        bound = "compute" if compute > memory else "memory"
        print(f"{name[:40]:<40} {micros:>7.1f} {limit:>9.1f} {limit / micros:>6.0%}  {bound}")
    print(f"{sum(layer['chosen'] for layer in report['layers'])} layers sparse")


def _peaks() -> tuple[float, float]:
    """Multiply-adds a second of a large dense product, and bytes a second of a copy beyond the caches."""
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper

    size = 1024
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [size, size])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [size, size])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "peak", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    found = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    square = np.ones((size, size), np.float32)
    product = min(_timed(lambda: found.run(None, {"x": square})) for _ in range(10))
    source, target = np.ones(64 * 2**20, np.uint8), np.ones(64 * 2**20, np.uint8)
    copy = min(_timed(lambda: np.copyto(target, source)) for _ in range(10))
    return size**3 / product, 2 * source.nbytes / copy


def _timed(work: Any) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _nonzeros(path: Path) -> dict[str, tuple[int, int]]:
    """Of each sparse operator: its weights that are not zero, and its output features."""
    import onnx

    graph = onnx.load(path).graph
    values = {item.name: int(np.prod(item.dims)) for item in graph.initializer}
    found = {}
    for node in graph.node:
        features = next((item.i for item in node.attribute if item.name == "features"), None)
        if features is not None:
            found[node.name] = (values[node.input[1]], features)
    return found


def _profile(path: Path) -> dict[str, tuple[float, int, int]]:
    """Median microseconds, input and output elements of every node."""
    import onnxruntime as ort

    from compress import operators

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        library = operators.library_beside(path)
        if library is not None:
            options.register_custom_ops_library(str(library))
        found = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        picture = np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(np.float32)
        for _ in range(RUNS):
            found.run(None, {found.get_inputs()[0].name: picture})
        events = json.loads(Path(found.end_profiling()).read_text())
    durations: dict[str, list[float]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            durations.setdefault(name, []).append(event["dur"])
            sizes[name] = _elements(event["args"], "input_type_shape"), _elements(event["args"], "output_type_shape")
    return {name: (float(np.median(values)), *sizes[name]) for name, values in durations.items()}


def _elements(args: dict[str, Any], key: str) -> int:
    """Elements of the float tensor that is listed first: the picture, not the weights."""
    shapes = [shape for entry in args.get(key, []) for kind, shape in entry.items() if kind == "float"]
    return int(np.prod(shapes[0])) if shapes else 0
