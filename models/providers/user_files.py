"""Networks from a function or class in the user's own file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compress.errors import ModelError
from models.providers.base import Arguments, Built, Description, Provider, check_arguments
from models.providers.timm_models import describe_config
from models.user_code import UserFunction

if TYPE_CHECKING:
    from torch import Tensor


class UserFiles(Provider):
    """``path/file.py:factory?argument=value``; the name is ``path/file.py:factory``."""

    def build(self, name: str, arguments: Arguments, where: str) -> Built:
        function = UserFunction.load(name)
        if _is_network(function.function):
            raise ModelError(
                f"'{function.name}' is a network, not a factory", where=where, hint="name the function that builds it"
            )
        check_arguments(function.function, arguments, where)
        return _checked(function(**arguments), where)

    def describe(self, name: str, arguments: Arguments, where: str) -> Description:
        return describe_built(self.build(name, arguments, where))


def describe_built(built: Built) -> Description:
    """Read the input from the first example input, else from a timm ``pretrained_cfg`` that the network carries."""
    config = getattr(built.module, "pretrained_cfg", None)
    recorded = describe_config(config, {}) if isinstance(config, dict) else Description()
    if not built.example_inputs:
        return recorded
    shape = tuple(built.example_inputs[0].shape[1:])
    same = recorded.default_input == shape
    return Description(shape, recorded.preprocessing if same else None)


def _is_network(value: Any) -> bool:
    from torch import nn

    return isinstance(value, nn.Module)


def _checked(returned: Any, where: str) -> Built:
    hint = "return an nn.Module, or (nn.Module, example inputs)"
    module, inputs = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, None)
    if not _is_network(module):
        raise ModelError(f"the factory returned {_spell(returned)}", where=where, hint=hint)
    if inputs is None:
        return Built(module)
    return Built(module, _tensors(inputs, where, hint))


def _tensors(inputs: Any, where: str, hint: str) -> tuple[Tensor, ...]:
    from torch import Tensor

    tensors = (inputs,) if isinstance(inputs, Tensor) else inputs
    if not isinstance(tensors, (tuple, list)) or not tensors:
        raise ModelError(f"the factory returned example inputs as {_spell(inputs)}", where=where, hint=hint)
    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise ModelError(f"example input {position} is {_spell(tensor)}", where=where, hint="give tensors")
        if tensor.dim() == 0:
            raise ModelError(
                f"example input {position} has no batch dimension", where=where, hint="give tensors of shape (N, ...)"
            )
    return tuple(tensors)


def _spell(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"an object of type {type(value).__name__}"
