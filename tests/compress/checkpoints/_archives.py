"""Archives for the tests: a small exported network, and versions of it that were tampered with."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim

Entries = dict[str, bytes]


class Touch:
    """Unpickling an instance creates the file ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.open, (str(self.path), os.O_CREAT | os.O_WRONLY)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()


def save(module: nn.Module, path: Path, example: tuple[torch.Tensor, ...] | None = None) -> Path:
    """Write ``module`` as a ``.pt2`` with dynamic batch, example inputs and a text beside it."""
    example = example or (torch.randn(2, 3, 8, 8),)
    shapes = ({0: Dim("batch")},) * len(example)
    program = torch.export.export(module, example, dynamic_shapes=shapes)
    torch.export.save(program, path, extra_files={"compress.json": '{"format": "compress-program"}'})
    return path


def entries_of(path: Path) -> Entries:
    """Return the content of an archive by name below its folder."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def pack(entries: Entries, path: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    """Write an archive with ``entries`` in one folder."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)
    return path


def with_json(entries: Entries, name: str, change: Callable[[Any], None]) -> Entries:
    """Return ``entries`` with the JSON document ``name`` changed in place by ``change``."""
    document = json.loads(entries[name])
    change(document)
    return {**entries, name: json.dumps(document).encode()}


def with_program(entries: Entries, change: Callable[[Any], None]) -> Entries:
    return with_json(entries, "models/model.json", change)


def touching(marker: Path) -> str:
    """Return a Python expression that creates ``marker`` and is 1."""
    return f"__import__('os').open('{marker}', {os.O_CREAT | os.O_WRONLY}) * 0 + 1"


def pickled_inputs(entries: Entries, marker: Path) -> Entries:
    buffer = io.BytesIO()
    torch.save(Touch(marker), buffer)
    return {**entries, "data/sample_inputs/model.pt": buffer.getvalue()}


def pickled_weight(entries: Entries, marker: Path) -> Entries:
    buffer = io.BytesIO()
    torch.save(Touch(marker), buffer)
    name = "data/weights/model_weights_config.json"

    def change(document: Any) -> None:
        document["config"]["5.bias"].update(use_pickle=True, path_name="weight_99")

    return {**with_json(entries, name, change), "data/weights/weight_99": buffer.getvalue()}


def pickled_constant(entries: Entries, marker: Path) -> Entries:
    def change(document: Any) -> None:
        document["config"]["stray"] = {
            "path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None,
        }  # fmt: skip

    changed = with_json(entries, "data/constants/model_constants_config.json", change)
    return {**changed, "data/constants/opaque_obj_0": pickle.dumps(Touch(marker))}


def evaluated_expression(entries: Entries, marker: Path) -> Entries:
    def change(document: Any) -> None:
        sizes = document["graph_module"]["graph"]["tensor_values"]["input"]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": touching(marker), "hint": None}}

    return with_program(entries, change)


def executed_guard(entries: Entries, marker: Path) -> Entries:
    return with_program(entries, lambda document: document.update(guards_code=[touching(marker)]))


def called_function(entries: Entries, marker: Path) -> Entries:
    """A node whose operator is a function reached through torch's attributes."""

    def change(document: Any) -> None:
        graph = document["graph_module"]["graph"]
        graph["nodes"].insert(0, _node("torch.os.open", "opened", [str(marker), os.O_CREAT | os.O_WRONLY]))
        graph["sym_int_values"]["opened"] = {"as_int": 3}

    return with_program(entries, change)


def injected_name(entries: Entries, marker: Path) -> Entries:
    """A node whose name is pasted into the Python source that torch generates."""

    def change(document: Any) -> None:
        graph = document["graph_module"]["graph"]
        name = f"None; {touching(marker)}; unused"
        node = json.loads(json.dumps(graph["nodes"][0]))
        node.update(name=name, outputs=[{"as_tensor": {"name": name}}])
        graph["tensor_values"][name] = graph["tensor_values"]["conv2d"]
        graph["nodes"].insert(0, node)

    return with_program(entries, change)


def imported_module(entries: Entries, marker: Path) -> Entries:
    """A tree structure that names a module to import; the module creates ``marker``."""
    (marker.parent / "evil_module.py").write_text(f"{touching(marker)}\nfactory = list\n")

    def change(document: Any) -> None:
        signature = document["graph_module"]["module_call_graph"][0]["signature"]
        spec = json.loads(signature["out_spec"])
        context = {"default_factory_module": "evil_module", "default_factory_name": "factory", "dict_context": ["a"]}
        spec[1] = {"type": "collections.defaultdict", "context": context, "children_spec": [spec[1]]}
        signature["out_spec"] = json.dumps(spec)

    return with_program(entries, change)


def _node(target: str, name: str, arguments: list[str | int]) -> dict[str, Any]:
    inputs = [
        {"name": "", "arg": {"as_string" if isinstance(value, str) else "as_int": value}, "kind": 1}
        for value in arguments
    ]
    return {
        "target": target, "inputs": inputs, "outputs": [{"as_sym_int": {"as_name": name}}], "metadata": {},
        "is_hop_single_tensor_return": None, "name": name,
    }  # fmt: skip


ATTACKS: dict[str, Callable[[Entries, Path], Entries]] = {
    "pickled example inputs": pickled_inputs,
    "weights marked use_pickle": pickled_weight,
    "pickled constants": pickled_constant,
    "expr_str through sympify": evaluated_expression,
    "guards_code through exec": executed_guard,
    "operator resolved from torch": called_function,
    "node name pasted into source": injected_name,
    "tree structure imports a module": imported_module,
}
