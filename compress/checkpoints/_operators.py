"""The white-list for operators: torch resolves their names by attribute access, so ``torch.hub.load`` would resolve."""

from __future__ import annotations

import functools

import torch

_NAMESPACES = frozenset({"aten", "prims", "torchvision", "quantized_decomposed"})
_FILE_OPERATORS = frozenset({"aten::from_file", "aten::from_file.out"})
_HIGHER_ORDER = frozenset({
    "associative_scan", "cond", "hints_wrapper", "map", "map_impl", "scan", "tag_activation_checkpoint",
    "while_loop", "wrap", "wrap_with_autocast", "wrap_with_set_grad_enabled",
})  # fmt: skip
_PYTHON = frozenset({
    "_operator.add", "_operator.and_", "_operator.eq", "_operator.floordiv", "_operator.ge",
    "_operator.getitem", "_operator.gt", "_operator.le", "_operator.lshift", "_operator.lt",
    "_operator.mod", "_operator.mul", "_operator.ne", "_operator.neg", "_operator.or_", "_operator.pos",
    "_operator.pow", "_operator.rshift", "_operator.sub", "_operator.truediv", "math.ceil", "math.floor",
    "math.trunc", "torch.sym_float", "torch.sym_int", "torch.sym_ite", "torch.sym_max", "torch.sym_min",
    "torch.sym_not", "torch.sym_sqrt", "torch.sym_sum",
})  # fmt: skip


def is_operator(target: str) -> bool:
    """Tell whether ``target`` names an operator that computes and does nothing else, and that this torch registers."""
    if target in _PYTHON:
        return True
    match target.split("."):
        case ["torch", "ops", "higher_order", name]:
            return name in _HIGHER_ORDER
        case ["torch", "ops", namespace, name, overload] if namespace in _NAMESPACES:
            full = f"{namespace}::{name}" + ("" if overload == "default" else f".{overload}")
            return full in _registered() and full not in _FILE_OPERATORS
    return False


@functools.lru_cache(maxsize=1)
def _registered() -> frozenset[str]:
    return frozenset(torch._C._dispatch_get_all_op_names())
