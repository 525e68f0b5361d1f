"""ADMM: weights are drawn towards a given density while they train, instead of being cut at once.

Source: Zhao et al. 2021 (JCW), as far as its settings are known: every step adds ``rho (w - u + z)`` to the gradient;
once an epoch ``u`` becomes the projection of ``w + z`` on the allowed number of blocks (by their L2 norm), and ``z``
grows by ``w - u``. Afterwards the largest blocks are kept and finetuned. The method is Boyd et al. 2011, section 9.1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from compress.errors import PlanError
from compress.masks import Mask
from compress.program import Program
from compress.sparsity.densities import checked_layers, largest_units
from compress.sparsity.patterns import pattern_named

RHO = 0.01
_NORM = 2


class Admm:
    """Draws ``weights``, parameters by name that an optimiser trains, towards their densities.

    Args:
        program: the network that the weights are of; it says how they lie.
        weights: the tensors that are trained, by the weight's name in ``program``.
        densities: by weight name, the share of units that shall stay; those of 1 are left alone.
        pattern: of the units, such as ``4x1``.
        rho: how strongly.

    Raises:
        PlanError: a weight that cannot be masked or is not given, a density out of range, ``rho`` not above 0.
    """

    def __init__(
        self,
        program: Program,
        weights: Mapping[str, torch.Tensor],
        densities: Mapping[str, float],
        *,
        pattern: str = "4x1",
        rho: float = RHO,
    ) -> None:
        if not rho > 0:
            raise PlanError(f"rho {rho:g} is not above 0", hint=f"Zhao et al. take {RHO:g}")
        self._layers = checked_layers(program, densities)
        missing = sorted(set(densities) - set(weights))
        if missing:
            raise PlanError(f"{missing[0]!r} is not among the weights that are trained")
        self._pattern, self._rho = pattern_named(pattern), rho
        self._densities = {name: density for name, density in densities.items() if density < 1}
        self._weights = {name: weights[name] for name in self._densities}
        self._projected = {name: self._project(name, weight.detach()) for name, weight in self._weights.items()}
        self._dual = {name: torch.zeros_like(weight) for name, weight in self._weights.items()}

    @torch.no_grad()
    def draw(self) -> None:
        """Add the pull to the gradients: after each backward pass, before the optimiser's step."""
        for name, weight in self._weights.items():
            pull = self._rho * (weight - self._projected[name] + self._dual[name])
            weight.grad = pull if weight.grad is None else weight.grad + pull

    @torch.no_grad()
    def advance(self) -> float:
        """Project anew, at the end of an epoch, and return how far the weights still are: ``|w - u| / |w|``."""
        apart = whole = 0.0
        for name, weight in self._weights.items():
            self._projected[name] = self._project(name, weight + self._dual[name])
            self._dual[name] = self._dual[name] + weight - self._projected[name]
            apart += float((weight - self._projected[name]).double().square().sum())
            whole += float(weight.double().square().sum())
        return float((apart / whole) ** 0.5) if whole else 0.0

    def masks(self) -> dict[str, Mask]:
        """Return masks of the weights' largest units, for finetuning."""
        return {
            name: Mask(self._kept(name, weight.detach()), self._pattern.name) for name, weight in self._weights.items()
        }

    def state(self) -> dict[str, dict[str, torch.Tensor]]:
        """Return what a later :meth:`restore` goes on from."""
        return {"projected": dict(self._projected), "dual": dict(self._dual)}

    def restore(self, state: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Go on from :meth:`state`."""
        for name, weight in self._weights.items():
            self._projected[name] = state["projected"][name].to(weight.device)
            self._dual[name] = state["dual"][name].to(weight.device)

    def _kept(self, name: str, values: torch.Tensor) -> torch.Tensor:
        return largest_units(values, self._layers[name], self._pattern, self._densities[name], _NORM)

    def _project(self, name: str, values: torch.Tensor) -> torch.Tensor:
        return values * self._kept(name, values).to(values.device)
