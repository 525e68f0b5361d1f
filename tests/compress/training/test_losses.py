"""Losses against their definitions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from compress.errors import DataError, InputError
from compress.training.losses import CrossEntropy, UserLoss, check_labels, distillation

LOGITS = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
OTHER = torch.randn(4, 10, generator=torch.Generator().manual_seed(1))
TARGET = torch.tensor([1, 2, 3, 9])


def test_auxiliary_outputs_count_three_tenths() -> None:
    loss = CrossEntropy(aux_weight=0.3)((LOGITS, OTHER, OTHER), TARGET)
    wanted = F.cross_entropy(LOGITS, TARGET) + 0.6 * F.cross_entropy(OTHER, TARGET)
    assert float(loss) == pytest.approx(float(wanted))
    assert float(CrossEntropy()((LOGITS, OTHER), TARGET)) == pytest.approx(float(F.cross_entropy(LOGITS, TARGET)))


def test_label_smoothing_mixes_with_the_uniform_distribution() -> None:
    soft = F.one_hot(TARGET, 10) * 0.9 + 0.01
    assert float(CrossEntropy(0.1)(LOGITS, TARGET)) == pytest.approx(float(F.cross_entropy(LOGITS, soft)))


def test_distillation_is_the_divergence_from_the_teacher() -> None:
    teacher, student = (OTHER / 2).softmax(1), (LOGITS / 2).softmax(1)
    wanted = 4 * (teacher * (teacher / student).log()).sum(1).mean()
    assert float(distillation((LOGITS, OTHER), OTHER, 2.0)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(distillation(LOGITS, LOGITS, 3.0)) == pytest.approx(0, abs=1e-6)


def test_dense_predictions_are_distilled_per_position() -> None:
    wide, other = LOGITS[:, :, None, None].repeat(1, 1, 5, 6), OTHER[:, :, None, None].repeat(1, 1, 5, 6)
    assert float(distillation(wide, other, 2.0)) == pytest.approx(float(distillation(LOGITS, OTHER, 2.0)), rel=1e-5)


def test_networks_of_different_outputs_are_refused() -> None:
    with pytest.raises(InputError, match=r"teacher's output is \(9,\), the network's \(10,\)"):
        distillation(LOGITS, OTHER[:, :9], 1.0)


def test_labels_are_checked() -> None:
    check_labels(torch.tensor([0, 9, -100]), 10, "here")
    check_labels(torch.rand(4, 10), 10, "here")
    for wrong in (torch.tensor([10]), torch.tensor([-1])):
        with pytest.raises(DataError, match="here: has labels"):
            check_labels(wrong, 10, "here")
    with pytest.raises(DataError, match="the target is a dict"):
        check_labels({}, 10, "here")


def test_cross_entropy_names_labels_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="has labels 1 to 12, the network has 10 outputs"):
        CrossEntropy()(LOGITS, torch.tensor([1, 2, 3, 12]))


def test_a_users_loss_must_depend_on_the_outputs(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("import torch\n\ndef constant(outputs, target):\n    return torch.tensor(1.0)\n", encoding="utf-8")
    loss = UserLoss(f"{file}:constant")
    assert float(loss(LOGITS, TARGET)) == 1  # measuring needs no gradient
    with pytest.raises(InputError, match="without a gradient"):
        loss(LOGITS.clone().requires_grad_(), TARGET)
