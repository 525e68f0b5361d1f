"""The white-list for ``models/*.json`` of a ``.pt2`` archive, a program in torch's export schema (major version 8).

torch resolves operators by attribute access from ``torch``, imports modules that a tree structure names, evaluates
expressions, and generates Python source from names. So every text in the document is checked by what torch does
with it, and a text where none belongs is refused. The document is written anew from what was checked.
Source of the schema: torch/_export/serde/schema.py and serialize.py of torch 2.13.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable
from typing import Any

from compress.checkpoints._expressions import RefusedError, clean_expression
from compress.checkpoints._operators import is_operator

SCHEMA_MAJOR = 8

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)
_QUOTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f'\"\\{}\u2028\u2029]*")
_NUMBER_NAMES = frozenset({"Infinity", "-Infinity", "NaN"})
_DEVICES = frozenset({"cpu", "cuda", "mps", "xpu", "hpu", "npu", "mtia", "xla"})
_DIALECTS = frozenset({"", "ATEN", "TRAINING"})
_TREE_TYPES = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
_NAMEDTUPLE = "collections.namedtuple"


def clean_program(data: bytes) -> bytes:
    """Return a serialised program that holds nothing but white-listed content, its guards cleared.

    Devices become ``cpu``; of the node metadata only stack traces, module paths and function names stay.

    Raises:
        RefusedError: the first thing found that is not on the white-list.
    """
    document = load_json(data)
    if not isinstance(document, dict) or not {"graph_module", "schema_version"} <= set(document):
        raise RefusedError("the program description is not one that torch.export.save writes")
    try:
        return json.dumps(_walk(document)).encode()
    except RecursionError as error:
        raise RefusedError("the program description is nested too deeply") from error
    except (TypeError, KeyError, AttributeError, IndexError) as error:  # values of other types than the schema's
        raise RefusedError("the program description is not one that torch.export.save writes") from error


def load_json(data: bytes) -> Any:
    """Return parsed JSON. Raises :class:`RefusedError` for anything that is not JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RefusedError("a description inside is not valid JSON") from error


def clean_identifier(value: Any) -> str:
    """Return ``value``, an ASCII Python identifier that is not a keyword. Raises :class:`RefusedError` otherwise."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value) or keyword.iskeyword(value):
        raise RefusedError(f"{_short(value)} is not a name")
    return value


def clean_path(value: Any) -> str:
    """Return ``value``, a text that can stand between quotes. Raises :class:`RefusedError` otherwise."""
    if not isinstance(value, str) or not _QUOTABLE.fullmatch(value):
        raise RefusedError(f"{_short(value)} is not a parameter or module name")
    return value


def clean_device(value: Any) -> dict[str, Any]:
    """Return the CPU in place of any device that tensors can live on. Raises :class:`RefusedError` otherwise."""
    if not isinstance(value, dict) or value.get("type") not in _DEVICES:
        raise RefusedError(f"{_short(value)} is not a device")
    return {"type": "cpu", "index": None}


def _walk(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean_identifier(key): _FIELDS.get(key, _walk)(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item) for item in value]
    if isinstance(value, str) and value not in _NUMBER_NAMES:
        raise RefusedError(f"{_short(value)} stands where no text belongs")
    return value


def _named(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(f"{_short(value)} is not a table")
    return {clean_identifier(key): _walk(item) for key, item in value.items()}


def _optional_name(value: Any) -> str | None:
    return value if value in (None, "") else clean_identifier(value)


def _names(value: Any) -> list[str] | None:
    return None if value is None else [clean_identifier(item) for item in _list(value)]


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in _list(value)]


def _text(value: Any) -> str:
    # Arguments of operators are written with repr(), so any printable text is inert.
    if not isinstance(value, str):
        raise RefusedError(f"{_short(value)} is not a text")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise RefusedError(f"{_short(value)} is not a list")
    return value


def _arguments(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(f"{_short(value)} is not a table")
    return {clean_path(key): _walk(item) for key, item in value.items()}


def _operator(value: Any) -> str:
    if not isinstance(value, str) or not is_operator(value):
        raise RefusedError(f"{_short(value)} is not an operator that may be in a network")
    return value


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RefusedError(f"{_short(value)} is not a table")
    kept = {key: value[key] for key in ("stack_trace", "nn_module_stack", "torch_fn") if key in value}
    return {key: re.sub(r"[^\n\x20-\x7e]", "?", _text(text)) for key, text in kept.items()}


def _tree(value: Any) -> str:
    protocol, spec = load_json(_text(value).encode())
    if protocol != 1:
        raise RefusedError(f"tree structures have protocol {_short(protocol)}, 1 is known")
    return json.dumps([1, _tree_node(spec)])


def _tree_node(spec: Any) -> dict[str, Any]:
    if not isinstance(spec, dict) or set(spec) != {"type", "context", "children_spec"}:
        raise RefusedError("a tree structure is not one that torch writes")
    kind, context = spec["type"], spec["context"]
    if kind == _NAMEDTUPLE:
        if not isinstance(context, str) or not _DOTTED.fullmatch(context):
            raise RefusedError(f"{_short(context)} is not a type name")
    elif kind in _TREE_TYPES:
        keys = load_json(_text(context).encode())
        if keys is not None:
            context = json.dumps([key if isinstance(key, int) else clean_path(key) for key in _list(keys)])
    elif kind is not None or context is not None:
        raise RefusedError(
            f"inputs or outputs have the structure {_short(kind)}; only tuples, lists and dicts are read"
        )
    return {"type": kind, "context": context, "children_spec": [_tree_node(child) for child in spec["children_spec"]]}


def _ranges(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(f"{_short(value)} is not a table")
    for key in value:
        clean_expression(key)
    return {key: _walk(item) for key, item in value.items()}


def _namedtuples(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(_DOTTED.fullmatch(key) for key in value):
        raise RefusedError(f"{_short(value)} is not a table of named tuples")
    return {key: {"field_names": _names(item["field_names"])} for key, item in value.items()}


def _schema_version(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or value.get("major") != SCHEMA_MAJOR or not isinstance(value.get("minor"), int):
        raise RefusedError(f"the program has schema version {_short(value)}, major version {SCHEMA_MAJOR} is known")
    return {"major": SCHEMA_MAJOR, "minor": value["minor"]}


def _dialects(value: Any) -> list[str]:
    if not set(_texts(value)) <= _DIALECTS:
        raise RefusedError(f"the program is of the dialect {_short(value)}; export it with torch.export.export")
    return list(value)


def _no_objects(value: Any) -> Any:
    if value:
        raise RefusedError("the program uses a custom (TorchBind or script) object")
    return value


# Constants given as inputs are pasted between quotes into the guard function that torch generates.


def _inputs(value: Any) -> list[Any]:
    return [_constant(item) for item in _list(value)]


def _user_input(value: Any) -> Any:
    _constant(value["arg"])
    return _walk(value)


def _constant_input(value: Any) -> Any:
    _constant(value["value"])
    return _walk(value)


def _constant(argument: Any) -> Any:
    if "as_string" in argument:
        clean_path(argument["as_string"])
    return _walk(argument)


def _cleared(_: Any) -> list[str]:
    return []


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "as_custom_obj": _no_objects,
    "as_device": clean_device,
    "as_name": clean_identifier,
    "as_operator": _operator,
    "as_string": _text,
    "as_string_to_argument": _arguments,
    "as_strings": _texts,
    "buffer_name": clean_path,
    "constant_input": _constant_input,
    "custom_obj": _no_objects,
    "custom_obj_values": _no_objects,
    "device": clean_device,
    "expr_str": clean_expression,
    "forward_arg_names": _names,
    "fqn": clean_path,
    "guards_code": _cleared,
    "in_spec": _tree,
    "inputs": _inputs,
    "metadata": _metadata,
    "name": _optional_name,
    "opset_version": _named,
    "out_spec": _tree,
    "parameter_name": clean_path,
    "range_constraints": _ranges,
    "schema_version": _schema_version,
    "sym_bool_values": _named,
    "sym_float_values": _named,
    "sym_int_values": _named,
    "target": _operator,
    "tensor_constant_name": clean_path,
    "tensor_values": _named,
    "torch_version": clean_path,
    "treespec_namedtuple_fields": _namedtuples,
    "user_input": _user_input,
    "user_input_name": clean_identifier,
    "verifiers": _dialects,
}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
