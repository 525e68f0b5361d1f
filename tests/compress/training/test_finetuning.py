"""Finetuning a real network on real digits: it learns, logs, keeps the best, and refuses what does not fit."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

import compress
from compress import Program, data
from compress.data import DataSource
from compress.errors import DataError, InputError, UnavailableError
from compress.training import config_of, evaluate, finetune


def _same(a: Program, b: Program) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "lr": 0.1},
        {"optimizer": "adamw", "lr": 0.01, "label_smoothing": 0.1},
        {"lr": 0.1, "ema": 0.9},
        {"lr": 0.1, "precision": "bf16"},
    ],
    ids=["sgd", "adamw", "ema", "bf16"],
)
def test_a_network_learns_the_digits(
    network: Program, digits: DataSource, tmp_path: Path, settings: dict[str, object]
) -> None:
    before = network.fingerprint()
    result = finetune(network, digits, config_of(epochs=4, batch_size=64, **settings), output_dir=tmp_path)
    assert network.fingerprint() == before
    assert result.metrics["top1"] > 0.85
    measured = evaluate(result.program, digits)
    assert measured == pytest.approx(result.metrics)
    assert measured["samples"] == 359
    assert result.program.info.preprocessing == digits.preprocessing
    assert result.program.info.classes == digits.classes
    step = result.program.info.provenance[-1]
    assert step.verb == "finetune"
    assert step.input_sha256 == before


def test_the_best_epoch_is_returned_and_every_epoch_is_logged(
    network: Program, digits: DataSource, tmp_path: Path
) -> None:
    result = finetune(network, digits, config_of(epochs=4, lr=0.3), output_dir=tmp_path)
    scores = [row["val_top1"] for row in result.history]
    assert result.metrics["top1"] == max(scores)
    assert result.best_epoch == scores.index(max(scores)) + 1
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    logged = json.loads((tmp_path / "history.json").read_text())
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert [float(row["val_top1"]) for row in rows] == scores
    assert [row["val_top1"] for row in logged["epochs"]] == scores
    assert logged["run"]["config.lr"] == 0.3
    kept = torch.load(tmp_path / "best.pt", weights_only=True)
    assert kept["epoch"] == result.best_epoch


def test_the_same_run_twice_gives_the_same_bits(network: Program, digits: DataSource, tmp_path: Path) -> None:
    config = config_of(epochs=1, lr=0.1, ema=0.9)
    torch.manual_seed(1)
    first = finetune(network, digits, config, output_dir=tmp_path / "a")
    torch.manual_seed(2)
    second = finetune(network, digits, config, output_dir=tmp_path / "b")
    other = finetune(network, digits, config_of(epochs=1, lr=0.1, ema=0.9, seed=1), output_dir=tmp_path / "c")
    assert _same(first.program, second.program)
    assert not _same(first.program, other.program)


def test_a_finished_run_is_not_trained_again(network: Program, digits: DataSource, tmp_path: Path) -> None:
    config = config_of(epochs=1, lr=0.1)
    first = finetune(network, digits, config, output_dir=tmp_path)
    stamp = (tmp_path / "state.pt").stat().st_mtime_ns
    again = finetune(network, digits, config, output_dir=tmp_path)
    assert _same(first.program, again.program)
    assert again.history == first.history
    assert (tmp_path / "state.pt").stat().st_mtime_ns == stamp
    finetune(network, digits, config, output_dir=tmp_path, resume=False)
    assert (tmp_path / "state.pt").stat().st_mtime_ns != stamp


def test_the_random_state_of_the_caller_is_left_alone(network: Program, digits: DataSource, tmp_path: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    finetune(network, digits, config_of(epochs=1), output_dir=tmp_path)
    assert torch.equal(torch.rand(3), wanted)


def test_a_teacher_is_learnt_from(network: Program, digits: DataSource, tmp_path: Path) -> None:
    teacher = finetune(network, digits, config_of(epochs=4, lr=0.1, batch_size=64), output_dir=tmp_path / "teacher")
    untaught = teacher.program.fingerprint()
    config = config_of(epochs=2, lr=0.1, batch_size=64, distill_alpha=1.0)
    student = finetune(network, digits, config, teacher=teacher.program, output_dir=tmp_path / "student")
    # With alpha 1 the labels are not used at all: what is right was learnt from the teacher.
    assert student.metrics["top1"] > 0.6
    assert teacher.program.fingerprint() == untaught
    alone = finetune(network, digits, config, output_dir=tmp_path / "alone")
    assert not _same(student.program, alone.program)


def test_a_teacher_of_other_classes_is_refused(network: Program, digits: DataSource, tmp_path: Path) -> None:
    wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 12))
    teacher = compress.capture(wide, (torch.zeros(2, 1, 8, 8),))
    with pytest.raises(InputError, match=r"the teacher gives \(12,\), the network \(10,\)"):
        finetune(network, digits, config_of(), teacher=teacher, output_dir=tmp_path)


def test_a_loss_that_is_not_finite_stops_and_names_the_step(
    network: Program, digits: DataSource, tmp_path: Path
) -> None:
    file = tmp_path / "loss.py"
    file.write_text(
        "import torch\ncalls = 0\n"
        "def loss(outputs, target):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    value = torch.nn.functional.cross_entropy(outputs, target)\n"
        "    return value * (float('nan') if calls == 17 else 1)\n"
    )
    config = config_of(epochs=3, loss=f"{file}:loss")
    with pytest.raises(InputError, match=r"not finite in epoch 2, step 4 of 11; the weights of epoch 1 are kept"):
        finetune(network, digits, config, output_dir=tmp_path / "out")
    kept = torch.load(tmp_path / "out" / "state.pt", weights_only=True)
    assert (kept["epoch"], kept["step"]) == (1, 0)
    assert all(torch.isfinite(value).all() for value in kept["tensors"].values())


def test_diverging_weights_are_never_saved(network: Program, digits: DataSource, tmp_path: Path) -> None:
    config = config_of(epochs=3, lr=1e30, clip_norm=None, warmup_epochs=0, save_every_steps=1)
    with pytest.raises(InputError, match="not finite in epoch 1"):
        finetune(network, digits, config, output_dir=tmp_path)
    path = tmp_path / "state.pt"
    if path.exists():
        kept = torch.load(path, weights_only=True)
        assert all(torch.isfinite(value).all() for value in kept["tensors"].values())


def test_auxiliary_heads_are_trained_with_the_main_one(digits: DataSource, tmp_path: Path) -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.main, self.aux = nn.Linear(64, 32), nn.Linear(32, 10), nn.Linear(32, 10)

        def forward(self, x: torch.Tensor) -> object:
            x = self.trunk(x.flatten(1)).relu()
            return (self.main(x), self.aux(x)) if self.training else self.main(x)

    torch.manual_seed(0)
    program = compress.capture(TwoHeads(), (torch.zeros(2, 1, 8, 8),))
    before = program.copy().state_dict()
    result = finetune(program, digits, config_of(epochs=2, lr=0.1, weight_decay=0), output_dir=tmp_path / "with")
    after = result.program.state_dict()
    assert not torch.equal(before["aux.weight"], after["aux.weight"])
    assert result.metrics["top1"] > 0.8
    config = config_of(epochs=2, lr=0.1, weight_decay=0, aux_weight=0)
    without = finetune(program, digits, config, output_dir=tmp_path / "without").program.state_dict()
    assert torch.equal(before["aux.weight"], without["aux.weight"])


def test_segmentation_with_the_users_loss_and_metric(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\n"
        "def loaders():\n"
        "    x = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))\n"
        "    data = TensorDataset(x, (x[:, 0] > 0.5).long())\n"
        "    return DataLoader(data, 16, shuffle=True), DataLoader(data, 16)\n"
        "def loss(outputs, target):\n"
        "    return torch.nn.functional.cross_entropy(outputs, target)\n"
        "class Overlap:\n"
        "    def __init__(self):\n"
        "        self.both = self.either = 0\n"
        "    def update(self, outputs, target):\n"
        "        found = outputs.argmax(1) == 1\n"
        "        self.both += int((found & (target == 1)).sum())\n"
        "        self.either += int((found | (target == 1)).sum())\n"
        "    def compute(self):\n"
        "        return {'iou': self.both / self.either}\n"
        "def share(outputs, target):\n"
        "    return (outputs.argmax(1) == target).float().mean()\n"
    )
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    program = compress.capture(net, (torch.zeros(2, 1, 8, 8),))
    source = data.load(f"{file}:loaders")
    config = config_of(epochs=20, lr=0.3, loss=f"{file}:loss", metric=f"{file}:Overlap")
    result = finetune(program, source, config, output_dir=tmp_path / "out")
    assert result.metrics["iou"] > 0.8
    assert result.metrics["iou"] == max(row["val_iou"] for row in result.history)
    pixels = evaluate(result.program, source, f"{file}:share", loss=f"{file}:loss")
    assert pixels["share"] > 0.85
    # The default loss and accuracy know segmentation as well.
    assert evaluate(result.program, source)["top1"] == pytest.approx(pixels["share"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return outputs.sum(", "cannot be loaded"),
        ("return outputs.no_such()", r"raised AttributeError"),
        ("return outputs", r"returned a tensor of shape \(128, 10\)"),
        ("return 3", "returned int"),
    ],
)
def test_a_faulty_loss_is_named(network: Program, digits: DataSource, tmp_path: Path, body: str, said: str) -> None:
    file = tmp_path / "loss.py"
    file.write_text(f"def loss(outputs, target):\n    {body}\n")
    with pytest.raises(InputError, match=said) as caught:
        finetune(network, digits, config_of(loss=f"{file}:loss"), output_dir=tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_data_that_do_not_fit_are_refused_before_training(network: Program, tmp_path: Path) -> None:
    large = data.load("digits", preprocessing={"size": [16, 16], "channels": 3})
    with pytest.raises(DataError, match="gives inputs of 3x16x16, the network takes 1x8x8"):
        finetune(network, large, config_of(), output_dir=tmp_path)
    narrow = compress.capture(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), (torch.zeros(2, 1, 8, 8),))
    with pytest.raises(DataError, match="digits: has 10 classes, the network has 7 outputs"):
        finetune(narrow, data.load("digits"), config_of(), output_dir=tmp_path)


def test_labels_that_the_network_has_no_output_for_are_named(network: Program, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\ndef loaders():\n"
        "    batch = (torch.zeros(4, 1, 8, 8), torch.tensor([0, 3, 10, 1]))\n    return [batch], [batch]\n"
    )
    with pytest.raises(DataError, match="has labels 0 to 10, the network has 10 outputs"):
        finetune(network, data.load(f"{file}:loaders"), config_of(epochs=1), output_dir=tmp_path / "out")


def test_what_this_machine_or_folder_cannot_do_is_said(network: Program, digits: DataSource, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(UnavailableError, match="fp16 training needs a GPU"):
            finetune(network, digits, config_of(precision="fp16"), output_dir=tmp_path)
        with pytest.raises(UnavailableError, match="no CUDA device"):
            finetune(network, digits, config_of(device="cuda"), output_dir=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used as output folder"):
        finetune(network, digits, config_of(), output_dir=tmp_path / "file")
    with pytest.raises(InputError, match="batch norm needs at least two samples"):
        finetune(network, digits, config_of(batch_size=1), output_dir=tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 0}, "epochs: "),
        ({"lr": math.nan}, "lr: "),
        ({"optimiser": "sgd"}, "optimiser: "),
        ({"epochs": 1, "warmup_epochs": 2}, "warmup_epochs is 2, more than the 1 epochs"),
        ({"epochs": "many", "ema": 1.5}, "epochs: .*; ema: "),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        config_of(**settings)
