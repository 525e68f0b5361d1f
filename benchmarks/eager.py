"""Plans applied to the classes of torchvision and timm: equal to the pruned graph, or the line that is in the way.

    python benchmarks/eager.py --results runs/eager.jsonl [--only PATTERN] [--limit SECONDS]
    python benchmarks/eager.py --results runs/eager.jsonl --table      # the table of what was run, as Markdown

Each network in a process of its own, random weights, half the MACs, default options, no per-model code. First without
regard to the class; where that does not take the plan, once more with ``eager=module``: widths that it can have.
"Equal" is asserted: the edited module is captured again, must be the pruned graph in training and evaluation, and
computes the same in float64 with everything randomised. Networks in the results file already are not run again.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TORCHVISION = (
    "resnet50 vgg11_bn mobilenet_v2 mobilenet_v3_small efficientnet_b0 efficientnet_v2_s densenet121 squeezenet1_1"
    " googlenet inception_v3 regnet_x_400mf regnet_y_400mf resnext50_32x4d shufflenet_v2_x0_5 mnasnet0_5 convnext_tiny"
    " vit_b_32 swin_t swin_v2_t maxvit_t alexnet lraspp_mobilenet_v3_large"
)
TIMM = (
    "vit_tiny_patch16_224 deit3_small_patch16_224 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 mixnet_s"
    " res2net50_26w_4s skresnet18 resnest14d mobilevit_s coat_tiny levit_128s poolformer_s12 pvt_v2_b0"
    " xcit_nano_12_p16_224 eva02_tiny_patch14_224 mixer_s32_224 gmlp_ti16_224 convnextv2_atto fbnetv3_b"
    " ghostnet_100 hrnet_w18_small dla34 dpn68 cs3darknet_s vovnet39a repvgg_a0 edgenext_xx_small nf_regnet_b0"
    " pit_ti_224 visformer_tiny tinynet_e"
)


def main() -> None:
    """Run all networks, or one of them (in the child process), or print the table."""
    options = _options()
    if options.one:
        print(json.dumps(_one(options.one)))
        return
    rows = _rows(options.results)
    if not options.table:
        done = {row["ref"] for row in rows}
        wanted = [f"torchvision:{name}" for name in TORCHVISION.split()] + [f"timm:{name}" for name in TIMM.split()]
        options.results.parent.mkdir(parents=True, exist_ok=True)
        for ref in wanted:
            if ref not in done and fnmatch.fnmatch(ref, options.only):
                row = _limited(ref, options.limit)
                with options.results.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
                print(_line(row), flush=True)
        rows = _rows(options.results)
    print(
        "| network | chosen from | outcome | reached | refused before | numbers set | weights scaled | CPU s |\n"
        + 8 * "|---"
        + "|"
    )
    for row in rows:
        print(_line(row))
    for zoo in ("torchvision", "timm"):
        mine = [row for row in rows if row["ref"].startswith(zoo)]
        print(f"{zoo}: {sum(row['outcome'] == 'equal' for row in mine)} of {len(mine)} applied and equal")


def _one(ref: str) -> dict[str, Any]:
    import torch

    import compress
    import models
    from compress.eager.applying import captured, fit
    from compress.errors import EagerError

    torch.manual_seed(0)
    begun = time.process_time()
    reference = models.load_reference(ref)
    assert reference.default_input is not None
    example = (torch.zeros(2, *reference.default_input),)
    dense, calls = captured(reference.module, example)
    row: dict[str, Any] = {"ref": ref}
    for choice in ("any", "class"):
        try:
            pruned = compress.prune(dense, "macs=0.5", eager=reference.module if choice == "class" else None)
            found = fit(reference.module, dense, calls, pruned.program, example)
        except EagerError as error:
            row |= {"outcome": f"{error.where}: {error.what}", choice: str(error)}
            continue
        row |= {"choice": choice, "outcome": "equal", "numbers": len(found.numbers)}
        row |= {"scaled": len({item.tensor for item in found.folds}), "reached": pruned.report.achieved}
        row["note"] = pruned.report.note
        break
    return row | {"seconds": round(time.process_time() - begun, 1)}


def _limited(ref: str, limit: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", ref]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"ref": ref, "outcome": f"time limit of {limit} s"}
    lines = [line for line in found.stdout.splitlines() if line.startswith("{")]
    if found.returncode or not lines:
        last = found.stderr.strip().splitlines()[-1:] or ["nothing said"]
        return {"ref": ref, "outcome": f"failed: {last[0][:300]}"}
    return dict(json.loads(lines[-1]))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _line(row: dict[str, Any]) -> str:
    columns = (
        row.get(key, "") for key in ("ref", "choice", "outcome", "reached", "any", "numbers", "scaled", "seconds")
    )
    return "| " + " | ".join(str(column) for column in columns) + " |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("runs/eager.jsonl"))
    parser.add_argument("--only", default="*", help="pattern of references")
    parser.add_argument("--limit", type=int, default=400, help="seconds for each network")
    parser.add_argument("--table", action="store_true", help="only print what was run")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
