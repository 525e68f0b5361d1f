"""Judging candidates of a search one after another, in slices, against all at once, masked and mapped over.

    python benchmarks/candidate_batching.py --model models:resnet20 --size 32 --candidates 1 4 16
    python benchmarks/candidate_batching.py --device cuda

*Sliced* is what ``compress search`` does: each candidate runs as narrow as it is, on views of the shared weights.
*Mapped* runs whole widths with zeros, the weights of all candidates stacked and ``torch.vmap`` over them: only right
where a channel of zeros changes nothing else (not under layer norm or group norm). It is timed here, and used nowhere.
Both give the same outputs on the network asked for, which is checked. Rounds alternate; the medians are compared.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import models
from compress import Program, capture
from compress.search.encoding import Candidate, encoding_of
from compress.search.supernet import SuperNet


def main() -> None:
    """Time both ways and print a table."""
    options = _options()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    example = torch.randn(2, 3, options.size, options.size)
    program = capture(models.create(options.model).eval(), (example,))
    for name, tensor in program.tensors.items():
        program.tensors[name] = tensor.to(options.device)
    supernet = SuperNet(encoding_of(program))
    images = torch.randn(options.batch, 3, options.size, options.size, device=options.device)
    grid = supernet.encoding.grid
    random = np.random.default_rng(0)
    print("| candidates | sliced, ms each | mapped, ms each | mapped / sliced |\n|---|---|---|---|")
    for count in options.candidates:
        chosen = [supernet.encoding.decode(grid.sample(random)) for _ in range(count)]
        stacked = _stacked(supernet, chosen)
        took: dict[str, list[float]] = {"sliced": [], "mapped": []}
        with torch.no_grad():
            apart = max(
                float((one - other).abs().max())
                for one, other in zip(_sliced(supernet, chosen, images), _mapped(program, stacked, images), strict=True)
            )
            ways: dict[str, Callable[[], Any]] = {
                "sliced": partial(_sliced, supernet, chosen, images),
                "mapped": partial(_mapped, program, stacked, images),
            }
            for _ in range(options.rounds):
                for name, run in ways.items():
                    begun = time.perf_counter()
                    run()
                    _wait(options.device)
                    took[name].append(1000 * (time.perf_counter() - begun) / count)
        each = {name: median(times) for name, times in took.items()}
        print(f"| {count} | {each['sliced']:.1f} | {each['mapped']:.1f} | {each['mapped'] / each['sliced']:.2f} |")
        print(json.dumps({"candidates": count, **each, "largest_difference": apart}), file=sys.stderr)


def _sliced(supernet: SuperNet, chosen: list[Candidate], images: torch.Tensor) -> list[torch.Tensor]:
    return [supernet.slim(candidate, training=False)(images) for candidate in chosen]


def _mapped(program: Program, stacked: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    module = program.module(training=False)

    def run(tensors: dict[str, torch.Tensor]) -> Any:
        return torch.func.functional_call(module, tensors, (images,))

    found: torch.Tensor = torch.vmap(run)(stacked)
    return found


def _stacked(supernet: SuperNet, chosen: list[Candidate]) -> dict[str, torch.Tensor]:
    """The shared weights of each candidate, of whole width, zero where it has none."""
    program = supernet.program
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in program.tensors}
    for candidate in chosen:
        small = supernet.candidate(candidate)  # masked weights are zeros in it
        for name, tensor in program.tensors.items():
            whole = torch.zeros_like(tensor)
            kept = small.tensors[name]
            whole[tuple(slice(0, size) for size in kept.shape)] = kept.to(whole.dtype)
            rows[name].append(whole)
    return {name: torch.stack(values) for name, values in rows.items()}


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models:resnet20")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--candidates", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
