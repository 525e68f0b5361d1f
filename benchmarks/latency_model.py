"""How well a calibrated latency model predicts configurations that it was not fitted to, on ONNX Runtime here.

    python benchmarks/latency_model.py                                  all networks, dense and sparse
    python benchmarks/latency_model.py --network resnet18 --pattern dense

Each network is calibrated by ``compress calibrate`` on random weights; 40 random configurations are held out. A network
whose result exists is not repeated, and an interrupted calibration goes on: run the same line again.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.commits import commit

NETWORKS = {
    "resnet18": "torchvision:resnet18",
    "mobilenetv1": "models:mobilenetv1",
    "mobilenetv2": "torchvision:mobilenet_v2",
    "efficientnet_b0": "torchvision:efficientnet_b0",
}
PATTERNS = ("dense", "4x1")
RESULTS = Path(__file__).parent / "results" / "latency_model"
WORST_ERROR, LEAST_RANK = 0.05, 0.97


def main() -> None:
    """Calibrate what has no result, and print a table of all that have."""
    options = _options()
    RESULTS.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    for pattern in options.pattern or PATTERNS:
        for name in options.network or NETWORKS:
            result = RESULTS / f"{name}-{pattern}.json"
            if not result.exists():
                found = _calibrated(name, pattern, options)
                result.write_text(json.dumps(found, indent=1) + "\n")
            _say(name, pattern, json.loads(result.read_text()))


def _calibrated(name: str, pattern: str, options: argparse.Namespace) -> dict[str, Any]:
    from compress.cli.console import Console
    from compress.pipeline.calibration import CalibrationRequest, Plan, run
    from compress.pipeline.calibration_bench import Conditions

    began, cpu, load = time.monotonic(), os.times(), os.getloadavg()
    request = CalibrationRequest(
        Path(NETWORKS[name]),
        Plan(options.configurations, options.held_out, sparse=pattern != "dense", seed=options.seed),
        Conditions(seconds=options.seconds),
        output=options.work / f"{name}-{pattern}.latency.json",
        force=True,
    )
    outcome = run(request, Console(as_json=False))
    spent = os.times()
    used = sum(spent[:4]) - sum(cpu[:4])
    return {
        **outcome.to_json(),
        "commit": commit("compress", "deploy", "exporters"),
        "command": f"python benchmarks/latency_model.py --network {name} --pattern {pattern}",
        "configurations": options.configurations,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(used, 1),
        "load_average": [load[0], os.getloadavg()[0]],
        "cores": len(os.sched_getaffinity(0)),
    }


def _say(name: str, pattern: str, found: dict[str, Any]) -> None:
    network = found["network"]
    error, rank = network["held_out"]["error"], network["held_out"]["spearman"]
    reached = "reached" if error <= WORST_ERROR and rank >= LEAST_RANK else "MISSED"
    print(
        f"{name:16} {pattern:6} dense {network['milliseconds']:7.2f} ms (spread {network['drift']:.1%}): median error "
        f"{error:.1%}, rank correlation {rank:.3f}, {network['held_out']['configurations']} held out: {reached}",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", choices=NETWORKS)
    parser.add_argument("--pattern", action="append", choices=PATTERNS)
    parser.add_argument("--configurations", type=int, default=48)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/latency_model"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
