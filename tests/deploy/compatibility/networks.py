"""Small ONNX files, each with something that a runtime may not take, and runtimes that crash, hang or share work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DTYPES: dict[int, Any] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.DOUBLE: np.float64,
}
ACME = "com.acme"


def save(path: Path, nodes: Sequence[onnx.NodeProto], **changes: Any) -> Path:
    """Write a network of ``nodes`` from ``x`` (batch, 3, height, 8) to ``y``; ``changes`` as in :func:`convolution`."""
    onnx.save(build(nodes, **changes), str(path))
    return path


def build(
    nodes: Sequence[onnx.NodeProto],
    *,
    kind: int = TensorProto.FLOAT,
    opset: int = 18,
    ir: int = 10,
    height: int | str = 8,
    weights: Sequence[onnx.TensorProto] = (),
    domains: Sequence[str] = (),
    rank: int = 4,
) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "net", [value("x", kind, ["batch", 3, height, 8])], [value("y", kind, [None] * rank)], weights
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def convolution(
    path: Path, *, behind: Sequence[onnx.NodeProto] = (), kind: int = TensorProto.FLOAT, **more: Any
) -> Path:
    """Write a convolution, a ReLU, what is ``behind`` (from ``r`` to ``e``), and a mean over the picture."""
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)) * 0.3
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4, name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        *behind,
        helper.make_node("GlobalAveragePool", ["e" if behind else "r"], ["y"], name="mean"),
    ]
    weights = [numpy_helper.from_array(weight.astype(DTYPES[kind]), "w")]
    return save(path, nodes, kind=kind, weights=weights, **more)


def linear(path: Path) -> Path:
    """Write a fully connected layer."""
    weight = np.random.default_rng(0).standard_normal((192, 16)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w"], ["y"], name="linear"),
    ]
    return save(path, nodes, weights=[numpy_helper.from_array(weight, "w")], rank=2)


PLUGINS = '''
import os, signal, time
import numpy as np
from compress.errors import InputError
from deploy.runtimes import Description, InputSpec, Runtime, Session


class Plain(Session):
    def __init__(self, path, runtime):
        self.path = path
        self.inputs = (InputSpec("x", "float", ("batch", 3, 8, 8)),)
        self.runtime = runtime

    def run(self, feeds):
        return [feeds["x"] * self.runtime.factor]

    def describe(self):
        return Description(self.runtime.name, "1.2.3", "fast", 1)

    def placement(self):
        return {"fast": ["a", "b"], "slow": ["c"]}


class Base(Runtime):
    factor = 1.0

    def why_not(self):
        return None

    def prepare(self):
        pass

    def load(self, path, *, threads):
        return Plain(path, self)


class Crashing(Base):
    name = "crashing"

    def load(self, path, *, threads):
        os.kill(os.getpid(), signal.SIGSEGV)


class Hanging(Base):
    name = "hanging"

    def load(self, path, *, threads):
        time.sleep(3600)


class Sharing(Base):
    name = "sharing"


class Infinite(Base):
    name = "infinite"
    factor = float("inf")


class Brittle(Base):
    """Refuses every network with a convolution, and dies of a ReLU."""

    name = "brittle"

    def load(self, path, *, threads):
        data = path.read_bytes()
        if b"Conv" in data:
            raise InputError("no convolutions here", where=str(path), hint="take another")
        if b"Relu" in data:
            os.abort()
        return Plain(path, self)
'''


def install_plugins(folder: Path) -> None:
    """Write a package with these runtimes, as installing it would."""
    (folder / "plugged.py").write_text(PLUGINS)
    info = folder / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    names = ("Crashing", "Hanging", "Sharing", "Infinite", "Brittle")
    lines = [f"{name.lower()} = plugged:{name}" for name in names]
    (info / "entry_points.txt").write_text("\n".join(["[compress.runtimes]", *lines]) + "\n")
