"""The demo's network: small, and able to learn what the demo asks of it."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

import models


def test_is_small_and_its_statistics_are_those_of_the_digits() -> None:
    module = models.create("models:digitsnet")
    assert sum(tensor.numel() for tensor in module.parameters()) < 60_000
    recorded = models.preprocessing("models:digitsnet")
    assert recorded is not None
    pixels = load_digits().images / 16
    assert abs(pixels.mean() - recorded["mean"][0]) < 1e-4
    assert abs(pixels.std() - recorded["std"][0]) < 1e-4
    assert recorded["size"] == list(pixels.shape[1:])


def test_learns_digits_in_a_few_epochs() -> None:
    torch.manual_seed(0)
    data = load_digits()
    images = ((torch.tensor(data.images, dtype=torch.float32) / 16 - 0.3053) / 0.376).unsqueeze(1)
    labels = torch.tensor(data.target)
    order = torch.randperm(len(labels))
    train, held_out = order[:1400], order[1400:]
    module = models.create("models:digitsnet")
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for epoch in range(3):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - epoch / 3)
        for batch in train[torch.randperm(len(train))].split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(images[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.inference_mode():
        accuracy = (module.eval()(images[held_out]).argmax(1) == labels[held_out]).double().mean().item()
    assert accuracy > 0.93, accuracy
