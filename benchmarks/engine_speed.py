"""How long choosing and cutting takes, beside Torch-Pruning, and how it grows with the network.

    python benchmarks/engine_speed.py --only 'resnet*' --results runs/speed.jsonl  # torchvision networks by pattern
    python benchmarks/engine_speed.py --curve --results runs/curve.jsonl           # synthetic, to 20,000 nodes
                                                                                   # and 16,384 channels

Seconds are CPU time of one thread without imports and capture: analysis, plan, surgery and report here (``whole``), and
the same without the report, which counts both networks and has no counterpart there (``seconds``); building the
dependency graph, ranking and cutting there. The two take turns in one process, with nothing remembered from the turn
before; the median of the turns counts. Torch-Pruning is optional: where it is missing its columns stay empty.
Memory is how far the first cut lifts the process' resident peak above what was resident before it (Linux only).
A virtual machine gives memory that was free for a while back to its host and then gets it again at 2 seconds of system
time per gigabyte: before each turn of either tool as much as it may need is touched and freed.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import copy
import fnmatch
import gc
import json
import math
import mmap
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

DETECTORS = ("rcnn", "retinanet", "fcos", "ssd")  # their backbone is taken: what follows depends on the data
LEFT_OUT = ("raft", "quantized")  # cannot be captured; no floating-point weights
SIZES = ("250", "1000", "4000", "20000", "wide:256", "wide:1024", "wide:4096", "wide:16384")
KINDS = ("chain", "attention")


class LateError(Exception):
    """The other tool took longer than its limit."""


def main() -> None:
    """Run all networks from the smallest on, each in a process of its own, or one of them."""
    options = _options()
    torch.set_num_threads(1)
    if options.one:
        row = _grown(options.one, options.turns) if ":" in options.one else _compared(options.one, options)
        print(json.dumps(row))
        return
    wanted = [f"{kind}:{size}" for kind in KINDS for size in SIZES] if options.curve else _networks(options.only)
    done = {row["network"] for row in _rows(options.results)}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        if name in done:
            continue
        command = [
            sys.executable,
            __file__,
            "--one",
            name,
            "--turns",
            str(options.turns),
            "--limit",
            str(options.limit),
            *(["--alone"] if options.alone else []),
        ]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in found.stdout.splitlines() if line.startswith("{")]
        row = (
            json.loads(lines[-1])
            if lines
            else {"network": name, "failed": f"{found.returncode}: {found.stderr.strip()[-300:]}"}
        )
        with options.results.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(_line(row), flush=True)
    if options.curve:
        _exponents(_rows(options.results))


def _compared(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One torchvision network: both tools in turns, then what the memory was."""
    import compress
    import models
    from compress.meta_calls import forget

    module: nn.Module = models.create(f"torchvision:{name}").eval()
    if any(mark in name for mark in DETECTORS):
        module = module.get_submodule("backbone")
    example = torch.randn(1, *models.default_input(f"torchvision:{name}"))
    program = compress.capture(module, (example,))
    if options.alone:
        module = nn.Identity()  # its weights need not stay beside those captured
    row: dict[str, Any] = {"network": name, "nodes": len(program.graphs[False].nodes)}
    row["weights_mb"] = round(sum(x.numel() * x.element_size() for x in program.tensors.values()) / 2**20)

    def ours() -> tuple[float, float]:
        forget()
        gc.collect()
        _back(row["weights_mb"])
        with _reporting() as reports:
            before, begun = _resident(), time.process_time()
            result = compress.prune(program, "macs=0.5")
            seconds = time.process_time() - begun
        row.setdefault("peak_mb", round(_peak() - before))
        row["macs"] = round(result.report.after.macs / result.report.before.macs, 3)
        return seconds - sum(reports), seconds

    mine, whole, theirs = [], [], []
    for _ in range(options.turns):
        for kept, seconds in zip((mine, whole), ours(), strict=True):
            kept.append(seconds)
        if "failed" not in row and not options.alone:
            try:
                theirs.append(_torch_pruning(module, example, options.limit, row["weights_mb"]))
            except Exception as error:  # noqa: BLE001 - whatever goes wrong there is the result
                row["failed"] = f"{type(error).__name__}: {str(error)[:120]}"
    row["turns"] = [mine, whole, theirs]
    row["seconds"], row["whole"] = round(statistics.median(mine), 3), round(statistics.median(whole), 3)
    if theirs and "failed" not in row:
        row["torch_pruning"] = round(statistics.median(theirs), 3)
        row["ratio"] = round(statistics.median(a / b for a, b in zip(mine, theirs, strict=True)), 2)
        row["whole_ratio"] = round(statistics.median(a / b for a, b in zip(whole, theirs, strict=True)), 2)
    return row


@contextmanager
def _reporting() -> Iterator[list[float]]:
    """CPU seconds of every report that is made meanwhile."""
    from compress import pruning

    spent: list[float] = []
    made = pruning.report

    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = time.process_time()
        found = made(*args, **kwargs)
        spent.append(time.process_time() - begun)
        return found

    pruning.report = timed
    try:
        yield spent
    finally:
        pruning.report = made


def _back(megabytes: float) -> None:
    """Let the host of a virtual machine stand behind twice as much free memory, and some."""
    size = (2 * int(megabytes) + 64) << 20
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
        pages.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, size, mmap.PAGESIZE):
            pages[at] = 1


def _torch_pruning(module: nn.Module, example: torch.Tensor, limit: int, megabytes: float) -> float:
    """CPU seconds of Torch-Pruning for half the channels everywhere, on a copy of the network."""
    import torch_pruning as tp
    from torchvision.models.vision_transformer import VisionTransformer

    network = copy.deepcopy(module)
    last = [layer for layer in network.modules() if isinstance(layer, (nn.Linear, nn.Conv2d)) and _width(layer) == 1000]
    heads = {layer: layer.num_heads for layer in network.modules() if isinstance(layer, nn.MultiheadAttention)}
    gc.collect()
    _back(megabytes)
    with _limited(limit):
        begun = time.process_time()
        pruner = tp.pruner.MagnitudePruner(
            network,
            example,
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=0.5,
            round_to=8,
            ignored_layers=last,
            **({"out_channel_groups": heads} if isinstance(network, VisionTransformer) else {}),
        )
        pruner.step()
        return time.process_time() - begun


def _width(layer: nn.Linear | nn.Conv2d) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Interrupt after this much CPU time: some networks never end there."""

    def late(*_: object) -> None:
        raise LateError(f"over {seconds} s of CPU")

    signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _grown(name: str, turns: int) -> dict[str, Any]:
    """A network of about so many nodes (``chain:4000``), or of so many channels and few nodes (``chain:wide:4096``)."""
    import compress
    from benchmarks.engine_graphs import attention, chain
    from compress.meta_calls import forget

    kind, *wide, size = name.split(":")
    make = {"chain": chain, "attention": attention}[kind]
    if wide:
        program = make(2, width=int(size))
    else:
        few, more = (len(make(blocks).graphs[False].nodes) for blocks in (1, 2))
        program = make(max(1, round((int(size) - few) / (more - few)) + 1))
    row: dict[str, Any] = {"network": name, "nodes": len(program.graphs[False].nodes)}
    row["weights_mb"] = round(sum(x.numel() * x.element_size() for x in program.tensors.values()) / 2**20, 1)
    whole = []
    for _ in range(turns + 1):
        forget()
        gc.collect()
        _back(row["weights_mb"] + 32)
        before, begun = _resident(), time.process_time()
        compress.prune(program, "macs=0.5")
        whole.append(time.process_time() - begun)
        row.setdefault("peak_mb", round(_peak() - before))
    return row | {"whole": round(statistics.median(whole[1:]), 3), "turns": [whole]}


def _resident() -> float:
    """Megabytes resident now; the peak is counted from here on."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


def _exponents(rows: list[dict[str, Any]]) -> None:
    """Fit seconds ~ nodes ** exponent over each kind's points, in logarithms."""
    for kind in KINDS:
        points = [row for row in rows if row["network"].startswith(kind) and ":wide:" not in row["network"]]
        if len(points) > 1:
            x, y = ([math.log(row[column]) for row in points] for column in ("nodes", "whole"))
            print(f"{kind}: seconds grow with nodes to the power of {statistics.linear_regression(x, y).slope:.2f}")


def _networks(pattern: str) -> list[str]:
    import models

    models.torchvision_shim.ensure()
    from torchvision.models import get_model_weights, list_models

    names = [n for n in list_models() if fnmatch.fnmatch(n, pattern) and not any(mark in n for mark in LEFT_OUT)]
    return sorted(names, key=lambda name: next(iter(get_model_weights(name))).meta["num_params"])


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


_COLUMNS = ("nodes", "seconds", "whole", "torch_pruning", "ratio", "whole_ratio", "weights_mb", "peak_mb")


def _line(row: dict[str, Any]) -> str:
    cells = [row.get(key, "") for key in _COLUMNS]
    return f"| {row['network']} | " + " | ".join(map(str, cells)) + f" | {row.get('failed', '')} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("runs/engine_speed.jsonl"))
    parser.add_argument("--only", default="*", help="pattern of torchvision names")
    parser.add_argument("--curve", action="store_true", help="synthetic networks of growing size instead")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--limit", type=int, default=60, help="CPU seconds for Torch-Pruning, each turn")
    parser.add_argument("--alone", action="store_true", help="without Torch-Pruning: less memory")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
