"""Masks on the user's own class, whole or cut by a plan."""

from __future__ import annotations

import pytest
import torch

import compress
import models
from compress.errors import InputError


def test_a_cut_module_takes_the_masks_and_keeps_them_in_training() -> None:
    torch.manual_seed(0)
    module = models.create("models:digitsnet")
    image = torch.randn(2, 1, 8, 8)
    pruned = compress.prune(compress.capture(module, (image,)), "macs=0.6")
    result = compress.sparsify(pruned.program, 0.8, pattern="4x1")
    with pytest.raises(InputError, match=r"is for stage1\.conv1\.weight, which is of shape .24, 24, 3, 3. here"):
        compress.apply_masks(module, result.masks)
    pruned.plan.apply_to(module)
    compress.apply_masks(module, result.masks)
    torch.testing.assert_close(module.eval()(image), result.program.module()(image))
    optimizer = torch.optim.AdamW(module.train().parameters(), lr=0.05, weight_decay=0.1)
    for _ in range(3):
        loss = module(image).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, mask in result.masks.items():
        assert torch.equal(module.get_parameter(name) == 0, ~mask.kept)
