"""The plan: which atoms of which groups stay. JSON that can be read, edited, checked against a network and replayed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.errors import PlanError
from compress.files import write_text
from compress.program import TensorSpec

if TYPE_CHECKING:
    from torch import nn

VERSION = 1
FORMAT = "compress-plan"


@dataclass(frozen=True)
class Kept:
    """One group of a plan: its width before, the sorted positions that stay, and the layers that produce it."""

    width: int
    keep: tuple[int, ...]
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Kept positions by group name, the settings that they were chosen with (for the record only), and the inputs of
    the network that the plan was made for.
    """

    groups: Mapping[str, Kept]
    structure: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON types."""
        groups = {
            name: {"width": kept.width, "keep": list(kept.keep), "layers": list(kept.layers)}
            for name, kept in self.groups.items()
        }
        settings = dict(self.settings)
        return {
            "format": FORMAT,
            "version": VERSION,
            "structure": self.structure,
            "settings": settings,
            "inputs": [[spec.name, list(spec.shape), spec.dtype] for spec in self.inputs],
            "groups": groups,
        }

    def sha256(self) -> str:
        """Hash of what the plan does: settings left out."""
        kept = {name: [group.width, list(group.keep)] for name, group in sorted(self.groups.items())}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the plan atomically. Raises :class:`InputError` where the file cannot be written."""
        write_text(path, _readable(self.to_json()), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan. Raises :class:`PlanError` where the file is missing or is not a plan."""
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise PlanError(f"cannot be read ({error.strerror})", where=str(path)) from error
        except (ValueError, RecursionError) as error:
            raise PlanError(
                f"is not JSON ({error})", where=str(path), hint="give a plan that 'compress prune --save-plan' wrote"
            ) from error
        return cls.from_json(document, where=str(path))

    @classmethod
    def from_json(cls, document: Any, *, where: str = "plan") -> Plan:
        """Check the form of a plan; whether it fits a network is checked by :meth:`validated`.

        Raises:
            PlanError: not a plan, or of a newer version.
        """
        if (
            not isinstance(document, dict)
            or document.get("format") != FORMAT
            or not isinstance(document.get("groups"), dict)
        ):
            raise PlanError(
                "is not a pruning plan", where=where, hint="give a plan that 'compress prune --save-plan' wrote"
            )
        if not isinstance(document.get("version"), int) or document["version"] > VERSION:
            raise PlanError(
                f"has version {document.get('version')!r}, this tool reads {VERSION}",
                where=where,
                hint="upgrade compress-toolchain",
            )
        groups = {str(name): _kept(str(name), entry, where) for name, entry in document["groups"].items()}
        settings = document.get("settings") or {}
        settings = settings if isinstance(settings, dict) else {}
        return cls(groups, document.get("structure"), settings, _inputs(document.get("inputs", []), where))

    def apply_to(self, module: nn.Module, example_inputs: Sequence[Any] | None = None) -> nn.Module:
        """Cut the user's own ``module`` as the plan says, in place, and return it: the class stays what it is.

        Parameters and buffers are sliced (new ``nn.Parameter`` objects: make optimizers afterwards), and the whole
        numbers that the class keeps as attributes (``num_heads``, ``normalized_shape``, ``groups`` ...) are corrected
        where capturing shows them to be widths. Then the module is captured anew: both its graphs must be those of the
        pruned Program, and compute the same in float64 with everything randomised. Where a class derives attention's
        scale from a width that shrank, the weights before it take the factor, so that the function stays.

        Args:
            module: the dense network, in any mode, on any device.
            example_inputs: what to capture with; by default tensors of the shapes that the plan was made with.

        Raises:
            EagerError: the class spells out a size that the plan changes; the error names file, line and, where there
                is one, the attribute. The module is as it was. (``compress.prune(..., eager=module)`` makes plans
                without such changes.)
            PlanError: the plan does not fit the network, or records no input shapes and none were given.
            CaptureError: the module cannot be captured.
        """
        from compress.eager.applying import apply_plan_to

        return apply_plan_to(self, module, example_inputs)

    def validated(self, analysis: Analysis) -> dict[str, Array]:
        """Check the plan against a network's groups and return the kept positions by group.

        Raises:
            PlanError: a group that the network has not (or may not shrink), another width, positions out of range,
                repeated or unsorted, or nothing left.
        """
        prunable = {group.name: group for group in analysis.prunable}
        chosen: dict[str, Array] = {}
        for name, kept in self.groups.items():
            if name not in prunable:
                raise PlanError(
                    f"the plan cuts {name!r}, which is no prunable group of this network",
                    hint=_frozen_hint(name, analysis),
                )
            _check(name, kept, prunable[name])
            chosen[name] = np.array(kept.keep, np.int64)
        return chosen


def _kept(name: str, entry: Any, where: str) -> Kept:
    whole = isinstance(entry, dict) and isinstance(entry.get("width"), int) and isinstance(entry.get("keep"), list)
    if not whole or not all(isinstance(index, int) and not isinstance(index, bool) for index in entry["keep"]):
        raise PlanError(f"group {name!r} needs a whole number 'width' and a list of whole numbers 'keep'", where=where)
    layers = entry.get("layers", [])
    return Kept(
        entry["width"], tuple(entry["keep"]), tuple(str(layer) for layer in layers) if isinstance(layers, list) else ()
    )


def _inputs(entries: Any, where: str) -> tuple[TensorSpec, ...]:
    try:
        found = tuple(
            TensorSpec(str(name), tuple(int(size) for size in shape), str(dtype)) for name, shape, dtype in entries
        )
        sound = all(isinstance(getattr(torch, spec.dtype, None), torch.dtype) and min(spec.shape) > 0 for spec in found)
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise PlanError("its 'inputs' are not names with shapes and types", where=where)
    return found


def _check(name: str, kept: Kept, group: Group) -> None:
    if kept.width != group.width:
        raise PlanError(
            f"the plan expects {kept.width} channels in {name!r}, this network has {group.width}",
            hint="use the network that the plan was made for",
        )
    if not kept.keep:
        raise PlanError(f"the plan keeps nothing of {name!r}", hint="keep at least one position")
    if list(kept.keep) != sorted(set(kept.keep)):
        raise PlanError(
            f"positions of {name!r} are not sorted or repeat", hint="list each kept position once, in ascending order"
        )
    if kept.keep[0] < 0 or kept.keep[-1] >= group.width:
        wrong = kept.keep[-1] if kept.keep[-1] >= group.width else kept.keep[0]
        raise PlanError(
            f"position {wrong} of {name!r} is out of range", hint=f"positions run from 0 to {group.width - 1}"
        )


def _frozen_hint(name: str, analysis: Analysis) -> str:
    for group in analysis.groups:
        if group.kind == "frozen" and group.name == name:
            return f"it is frozen: {group.reason}"
    names = ", ".join(group.name for group in analysis.prunable[:5])
    return f"its groups are {names}{' ...' if len(analysis.prunable) > 5 else ''}"


def _readable(document: dict[str, Any]) -> str:
    """One line per group: long lists of positions stay readable and differences stay small."""
    groups = ",\n".join(f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in document["groups"].items())
    head = {key: value for key, value in document.items() if key != "groups"}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items())
    return "{\n" + lines + ',\n  "groups": {\n' + groups + "\n  }\n}\n"
