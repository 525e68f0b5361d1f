"""Generate the index of known architectures: ``python -m compress.checkpoints.build_index``.

Every torchvision, timm and ``models`` architecture is built three times on the meta device (as it comes, and with
two other numbers of classes), so that the axes which count classes are observed, not guessed. Takes minutes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

import models
from compress.checkpoints._signature import (
    ClassAxis,
    Item,
    class_axes,
    classes_in,
    items_of,
    names_hash,
    pack_sketch,
    shapes_hash,
    sketch,
)
from compress.checkpoints.recognise import INDEX_FORMAT, INDEX_PATH
from compress.errors import CompressError, ModelError
from compress.files import write_bytes

FEW, MANY = 11, 29

# Published weights and common constructor calls have these extra or missing auxiliary heads.
VARIANTS = {
    "torchvision:googlenet": ("aux_logits=false",),
    "torchvision:inception_v3": ("aux_logits=false",),
    "torchvision:deeplabv3_mobilenet_v3_large": ("aux_loss=true",),
    "torchvision:deeplabv3_resnet50": ("aux_loss=true",),
    "torchvision:deeplabv3_resnet101": ("aux_loss=true",),
    "torchvision:fcn_resnet50": ("aux_loss=true",),
    "torchvision:fcn_resnet101": ("aux_loss=true",),
}

log = logging.getLogger("build_index")


def references(pattern: str = "") -> list[str]:
    """Return every reference to index that contains ``pattern``, those with other heads or shortcuts last."""
    plain = [ref for ref in models.list_models() if not ref.startswith("torchvision:quantized_")]
    wanted = [ref for ref in plain if pattern in ref]
    return wanted + [f"{ref}?{query}" for ref in wanted for query in _variants(ref)]


def build(refs: Iterable[str]) -> dict[str, Any]:
    """Return the index document of ``refs``; those that cannot be built are named in its ``skipped``."""
    models.torchvision_shim.ensure()
    import timm
    import torchvision

    entries: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    for number, ref in enumerate(refs):
        try:
            forms = _forms(ref)
        except CompressError as error:  # what one library version cannot build must not stop the rest
            skipped[ref] = str(error)[:200]
            log.warning("skipped %s: %s", ref, skipped[ref])
            continue
        for form in forms:
            _add(entries, ref, form)
        if number % 100 == 0:
            log.info("%d: %s", number, ref)
    return {
        "format": INDEX_FORMAT,
        "versions": {
            "torch": torch.__version__.split("+")[0],
            "torchvision": torchvision.__version__.split("+")[0],
            "timm": timm.__version__,
        },
        "skipped": skipped,
        "entries": [entries[key] for key in sorted(entries)],
    }


def write(document: dict[str, Any], path: Path) -> int:
    """Write an index document as reproducible gzip'd JSON and return its size in bytes."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    data = gzip.compress(text.encode(), compresslevel=9, mtime=0)
    write_bytes(path, data)
    return len(data)


def _variants(ref: str) -> Sequence[str]:
    return ("shortcut=b",) if ref.startswith("models:resnet") else VARIANTS.get(ref, ())


class _ComputedWidths(TorchFunctionMode):
    """Keeps number sequences on the CPU, inside ``torch.device("meta")``: RegNets compute their widths with tensors."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.arange, torch.linspace, torch.tensor) and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "cpu"}
        return func(*args, **kwargs)


def _items(ref: str) -> list[Item]:
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        try:
            return items_of(models.create(ref).state_dict())
        except ModelError:  # a width was computed with tensors, and meta tensors have no values
            with _ComputedWidths():
                return items_of(models.create(ref).state_dict())


class _Form(NamedTuple):
    """One state dict that a reference can have: its items, class axes, and classes without ``num_classes``."""

    items: list[Item]
    axes: list[ClassAxis]
    default: int | None


def _forms(ref: str) -> list[_Form]:
    plain = _items(ref)
    joint = "&" if "?" in ref else "?"
    try:
        few, many = [_items(f"{ref}{joint}num_classes={count}") for count in (FEW, MANY)]
    except ModelError as error:
        log.info("%s has no choice of classes: %s", ref, error)
        return [_Form(plain, [], None)]
    axes = class_axes(few, FEW, many, MANY)
    if not axes:
        return [_Form(plain, [], None)]
    default = classes_in(plain, axes) if names_hash(plain) == names_hash(few) else None
    if default is None or shapes_hash(plain, axes) != shapes_hash(few, axes):
        # Feature extractors come without a classifier and gain one with num_classes.
        return [_Form(plain, [], None), _Form(few, axes, None)]
    return [_Form(plain, axes, default)]


def _add(entries: dict[str, dict[str, Any]], ref: str, form: _Form) -> None:
    key = names_hash(form.items)
    entry = entries.setdefault(key, {"names": key, "sketch": pack_sketch(sketch(form.items)), "heads": []})
    axes = [list(axis) for axis in form.axes]
    head = next((head for head in entry["heads"] if head["axes"] == axes), None)
    if head is None:
        head = {"axes": axes, "shapes": {}}
        entry["heads"].append(head)
    head["shapes"].setdefault(shapes_hash(form.items, form.axes), []).append([ref, form.default])


def main(arguments: list[str] | None = None) -> None:
    """Command line of the generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="index references that contain this text (for a quick look)")
    parser.add_argument("-o", "--output", type=Path, default=INDEX_PATH, help="file to write")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    start = time.monotonic()
    refs = references(options.only)
    document = build(refs)
    size = write(document, options.output)
    groups = [group for entry in document["entries"] for head in entry["heads"] for group in head["shapes"].values()]
    shared = {ref for group in groups if len(group) > 1 for ref, _ in group}
    log.info(
        "%d references, %d distinct state dicts, %d references share one, %d skipped; %d bytes in %.0f s",
        len(refs), len(groups), len(shared), len(document["skipped"]), size, time.monotonic() - start,
    )  # fmt: skip


if __name__ == "__main__":
    main()
