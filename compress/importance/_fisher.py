"""Fisher: the loss to second order in the channel's gate (Theis et al. 2018, Faster gaze prediction with dense networks
and Fisher pruning), with one gate for channels that are tied (Liu et al. 2021, Group Fisher Pruning).
"""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.importance._signals import GateCriterion


class Fisher(GateCriterion):
    """``1/(2N) sum_n g_n**2``, with ``g_n`` the derivative of sample n's loss by the channel's gate.

    For a channel that is read once, ``g_n`` is the sum over positions of signal times gradient, as in Theis et al.
    """

    name: ClassVar[str] = "fisher"

    def of_gates(self, derivatives: torch.Tensor) -> torch.Tensor:
        return derivatives.square() / 2
