"""ONNX files small enough to build on the fly, and a report made from measuring them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploy import environment, report
from deploy.comparing import compare
from deploy.gating import gate
from deploy.profiling import profile

MakeNet = Callable[..., Path]
HOSTILE = "</script><script>document.title='owned'</script>\"'><img src=x onerror=alert(2)>&lt;\u202e"


@pytest.fixture(scope="session")
def make_net(tmp_path_factory: pytest.TempPathFactory) -> MakeNet:
    """Return a function that writes a plain convolution network and returns its path."""
    folder = tmp_path_factory.mktemp("nets")

    def make(
        name: str,
        *,
        channels: int = 16,
        layers: int = 3,
        batch: int | str = "batch",
        height: int | str = 24,
        half: bool = False,
        external: str | None = None,
    ) -> Path:
        generator = np.random.default_rng(0)
        kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
        nodes, weights, tensor, width = [], [], "input", 3
        for index in range(layers):
            weight = generator.standard_normal((channels, width, 3, 3)) * (2 / (9 * width)) ** 0.5
            weights.append(numpy_helper.from_array(weight.astype(dtype), f"conv{index}.weight"))
            nodes.append(
                helper.make_node(
                    "Conv", [tensor, f"conv{index}.weight"], [f"c{index}"], pads=[1] * 4, name=f"conv{index}"
                )
            )
            nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
            tensor, width = f"r{index}", channels
        nodes.append(helper.make_node("GlobalAveragePool", [tensor], ["output"]))
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("input", kind, [batch, 3, height, 24])],
            [helper.make_tensor_value_info("output", kind, [batch, channels, 1, 1])],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, str(path), save_as_external_data=external is not None, location=external, size_threshold=0)
        return path

    return make


@pytest.fixture(scope="session")
def net(make_net: MakeNet) -> Path:
    return make_net("base.onnx")


@pytest.fixture(scope="session")
def bigger_net(make_net: MakeNet) -> Path:
    """The same network with twice the layers: it does more than twice the work, on any machine."""
    return make_net("bigger.onnx", layers=7)


@pytest.fixture(scope="session")
def measured_report(net: Path, bigger_net: Path) -> report.Report:
    """A report with every section filled, from real measurements, around hostile names."""
    profiles = profile([bigger_net, net], seconds=0.3)
    return report.Report(
        title=f"Network {HOSTILE}",
        created="2026-01-02 03:04 UTC",
        source=report.Source(
            file=f"{HOSTILE}.pt", sha256="a" * 64, size=1000, model="models:resnet20", notes=[HOSTILE]
        ),
        steps=[
            report.StepRow(
                verb="prune", arguments={"target": "macs=0.5", HOSTILE: [HOSTILE]}, seed=0, metrics={"macs": 1e6}
            )
        ],
        figures=[
            report.FigureRow(name="MACs", unit="count", before=2e6, after=1e6),
            report.FigureRow(name=HOSTILE, unit=HOSTILE, before=3, after=2, conditions=HOSTILE),
            report.FigureRow(name="accuracy", unit="share", before=0.93, after=0.92, better="higher"),
            *report.latency_rows(*profiles),
        ],
        layers=[
            report.LayerRow(
                name=f"layer{index} {HOSTILE}",
                kind="conv2d",
                width_before=16,
                width_after=8,
                status="pruned",
                reason=HOSTILE,
            )
            for index in range(3)
        ]
        + [
            report.LayerRow(
                name="fc", kind="linear", width_before=10, width_after=10, status="protected", reason="output"
            )
        ],
        verification=[report.Verification(artifact=HOSTILE, passed=True, figures={HOSTILE: 1e-6})],
        engines=[
            report.Engine(
                capability="8.6", precision="fp16", status="compiled ahead of time, not executed", message=HOSTILE
            )
        ],
        profiles=profiles,
        comparison=compare(bigger_net, net, seconds=0.3),
        gate=gate(bigger_net, net, budget=3, max_regression=0.2),
        environment=environment.capture(),
    )
