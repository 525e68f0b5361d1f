"""From a pruned Program back to the Python class that it was captured from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from compress.eager.applying import Fit, captured, fit
from compress.eager.restoring import make
from compress.eager.structure import difference
from compress.errors import EagerError, InputError
from compress.files import atomic_path, check_writable
from compress.program import Program

STRUCTURE, WEIGHTS = "structure.json", "weights.safetensors"


@dataclass(frozen=True)
class EagerForm:
    """A module of the class that a Program's reference names, cut like the Program, and how weights come into it."""

    module: nn.Module
    fit: Fit
    model: str
    submodule: str | None

    @classmethod
    def of(cls, program: Program, found: Fit | None = None) -> EagerForm:
        """Make the module; its weights are yet to be loaded. Raises as :func:`eager_module`.

        ``found`` says how the class becomes ``program``, where that is known already.
        """
        model, submodule = reference_of(program), program.info.submodule
        module = make(model, submodule)
        if found is None:
            example = tuple(torch.zeros(shape, dtype=dtype) for shape, dtype in program.input_shapes(batch=2).values())
            dense, calls = captured(module, example)
            missing = {node.name for node in dense.graphs[False].nodes} - {
                node.name for node in program.graphs[False].nodes
            }
            if missing:
                raise EagerError(
                    f"the class now runs operators that the network has not ({min(missing)})",
                    where=model,
                    hint="its definition, or torch, changed since the network was captured",
                )
            found = fit(module, dense, calls, program, example)
        found.apply(module)
        return cls(module, found, model, submodule)

    def load(self, program: Program) -> nn.Module:
        """Load the weights of ``program``, which has the structure that this was made for, and return the module."""
        state = program.state_dict()
        self.module.load_state_dict({name: state[name].cpu() for name in self.module.state_dict()})
        self.fit.scale(self.module)
        return self.module

    def save(self, program: Program, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write ``structure.json`` and ``weights.safetensors`` with the weights of ``program`` into ``folder``.

        Raises:
            InputError: the files cannot be written.
        """
        check_folder(folder, overwrite=overwrite)
        module = self.load(program)
        structure = difference(make(self.model, self.submodule), module, model=self.model, submodule=self.submodule)
        state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
        target = Path(folder)
        target.mkdir(exist_ok=True)
        with atomic_path(target / WEIGHTS, overwrite=overwrite) as temporary:
            save_file(state, str(temporary), metadata={"format": "pt"})
        structure.save(target / STRUCTURE, overwrite=overwrite)


def eager_module(program: Program) -> nn.Module:
    """Make ``program`` a module of the class that its model reference names, with the program's weights.

    Raises:
        InputError: the program has no model reference.
        EagerError: the class spells out a size that was pruned; the error names file and line.
    """
    return EagerForm.of(program).load(program)


def check_folder(folder: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Fail before work starts where the two files could not be written. Raises :class:`InputError`."""
    target = Path(folder)
    if not target.exists():
        check_writable(target, overwrite=overwrite, option="--eager")
        return
    if not target.is_dir():
        raise InputError("is a file, a folder was expected", where=str(target))
    for name in (STRUCTURE, WEIGHTS):
        check_writable(target / name, overwrite=overwrite, option="--eager")


def reference_of(program: Program) -> str:
    """The program's model reference. Raises :class:`InputError` where it has none."""
    if program.info.model_ref is None:
        raise InputError(
            "the network names no class that it could be made of", hint="load its weights with --model REF"
        )
    return program.info.model_ref
