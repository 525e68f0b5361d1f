"""Masks of a Program: kept by any training, by copies, files, cuts and reordering."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

import compress
from compress import Mask, Program
from compress.errors import CheckpointError
from compress.loading import create


@pytest.fixture(scope="module")
def masked() -> Program:
    torch.manual_seed(0)
    return compress.sparsify(create("models:digitsnet"), 0.8, pattern="4x1").program


def violations(program: Program, state: dict[str, torch.Tensor] | None = None) -> int:
    """How many weights are not zero where the masks say so."""
    state = program.state_dict() if state is None else state
    return sum(int(state[name][~mask.kept].count_nonzero()) for name, mask in program.masks.items())


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(0, 5))
@settings(deadline=None)
def test_a_mask_survives_json(shape: list[int], seed: int) -> None:
    kept = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5
    mask = Mask(kept, "2x1")
    again = Mask.from_json(json.loads(json.dumps(mask.to_json())), tuple(shape))
    assert torch.equal(again.kept, kept)
    assert (again.pattern, again.zeros) == ("2x1", mask.zeros)
    with pytest.raises(ValueError, match="a mask of shape"):
        Mask.from_json(mask.to_json(), (*shape, 2))


def test_bits_that_are_too_few_or_too_many_are_refused() -> None:
    entry = Mask(torch.ones(100, 100, dtype=torch.bool), "unstructured").to_json()
    for size in ([10, 10], [1000, 1000]):
        with pytest.raises(ValueError, match="another length than its weight"):
            Mask.from_json({**entry, "shape": size}, tuple(size))
    with pytest.raises(ValueError, match="cannot be unpacked"):
        Mask.from_json({**entry, "bits": "AAAA"}, (100, 100))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loop_of_the_users_own_keeps_the_zeros(masked: Program, optimizer: str) -> None:
    program = masked.copy()
    module = program.module(training=True)
    chosen: torch.optim.Optimizer = (
        torch.optim.SGD(module.parameters(), lr=0.05, weight_decay=0.1, momentum=0.9, nesterov=True)
        if optimizer == "sgd"
        else torch.optim.AdamW(module.parameters(), lr=0.05, weight_decay=0.1)
    )
    before = program.tensors["stage1.conv1.weight"].detach().clone()
    for step in range(4):
        loss = module(program.example_inputs(batch=4, seed=step)[0]).square().sum()
        chosen.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        chosen.step()
    assert violations(program) == 0
    changed = program.tensors["stage1.conv1.weight"] != before
    assert changed.any()


def test_a_deep_copy_of_a_module_keeps_the_zeros(masked: Program) -> None:
    module = copy.deepcopy(masked.module(training=True))
    chosen = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for step in range(3):
        loss = module(masked.example_inputs(seed=step)[0]).square().sum()
        chosen.zero_grad()
        loss.backward()
        chosen.step()
    assert violations(masked, dict(module.state_dict())) == 0
    assert not torch.equal(module.state_dict()["stem.weight"], masked.tensors["stem.weight"])


def test_zeros_and_masks_go_with_half_precision_autocast(masked: Program) -> None:
    program = masked.copy()
    module = program.module(training=True)
    chosen = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for step in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            loss = module(program.example_inputs(seed=step)[0]).float().square().sum()
        chosen.zero_grad()
        loss.backward()
        chosen.step()
    assert violations(program) == 0
    assert violations(program.astype(torch.float64)) == 0


def test_both_graphs_compute_with_the_same_zeros(masked: Program) -> None:
    """A weight that somebody moved off zero does not act in training, and is zero again on saving."""
    program = masked.copy()
    inputs = program.example_inputs()
    module = program.module(training=True)
    with torch.no_grad():
        wanted = module(*inputs)
        program.tensors["stage2.conv1.weight"].add_(1)
        program.tensors["stage2.conv1.weight"].sub_(1.0 * program.masks["stage2.conv1.weight"].kept)
        torch.testing.assert_close(module(*inputs), wanted)
    assert violations(program) > 0
    program.apply_masks()
    assert violations(program) == 0


def test_new_masks_reach_modules_that_were_made_before(masked: Program) -> None:
    program = masked.copy()
    module = program.module(training=True)
    name = "stage1.conv1.weight"
    none = Mask(torch.zeros_like(program.masks[name].kept), "unstructured")
    program.set_masks({**program.masks, name: none})
    module(*program.example_inputs()).sum().backward()
    gradient = program.tensors[name].grad
    assert gradient is not None
    assert not gradient.any()
    assert not program.tensors[name].any()


def test_a_state_dict_with_other_values_is_masked_on_loading(masked: Program) -> None:
    program = masked.copy()
    program.load_state_dict({name: torch.ones_like(value) for name, value in program.state_dict().items()})
    assert violations(program) == 0
    assert all(program.tensors[name].sum() == mask.kept.sum() for name, mask in program.masks.items())


@pytest.mark.parametrize("suffix", [".pt2", ".safetensors"])
def test_masks_survive_files(masked: Program, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    masked.save(path)
    again = compress.load(path)
    assert again.fingerprint() == masked.fingerprint()
    assert {name: mask.pattern for name, mask in again.masks.items()} == dict.fromkeys(masked.masks, "4x1")
    assert all(torch.equal(again.masks[name].kept, mask.kept) for name, mask in masked.masks.items())
    if suffix == ".pt2":
        plain = torch.export.load(path).module()(*masked.example_inputs())
        torch.testing.assert_close(plain, masked.module()(*masked.example_inputs()))


def test_a_file_whose_weights_are_not_zero_under_the_mask_is_refused(masked: Program, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    masked.save(path)
    with safe_open(str(path), framework="pt") as stream:
        metadata = stream.metadata()
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    tensors["stage1.conv1.weight"] = torch.ones_like(tensors["stage1.conv1.weight"])
    save_file(tensors, str(path), metadata=metadata)
    with pytest.raises(CheckpointError, match=r"weights of stage1\.conv1\.weight are not zero where its mask says so"):
        compress.load(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda masks: masks.update({"nobody": masks["stage1.conv1.weight"]}), "mask of nobody"),
        (lambda masks: masks["stage1.conv1.weight"].pop("bits"), "mask of stage1.conv1.weight"),
        (
            lambda masks: masks.update({"norm.running_var": Mask(torch.ones(24).bool(), "4x1").to_json()}),
            "norm.running",
        ),
    ],
)
def test_damaged_masks_are_refused(masked: Program, tmp_path: Path, change: object, said: str) -> None:
    path = tmp_path / "net.safetensors"
    masked.save(path)
    with safe_open(str(path), framework="pt") as stream:
        document = json.loads(stream.metadata()["compress.json"])
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    change(document["masks"])  # type: ignore[operator]
    save_file(tensors, str(path), metadata={"compress.json": json.dumps(document)})
    with pytest.raises(CheckpointError, match="is damaged") as refusal:
        compress.load(path)
    assert said in str(refusal.value)


def test_cutting_channels_cuts_masks_and_says_what_pattern_is_left(masked: Program) -> None:
    result = compress.prune(masked, "macs=0.6")
    small = result.program
    assert set(small.masks) == set(masked.masks)
    assert violations(small) == 0
    assert small.count().nonzero_macs < 0.4 * small.count().macs
    replayed = compress.pruning.apply_plan(masked, result.plan)
    assert replayed.fingerprint() == small.fingerprint()
    # The zeros are those that the plan keeps of the first masks, and no others.
    for name, mask in small.masks.items():
        assert mask.zeros == int((small.tensors[name] == 0).sum())
    # Whole blocks of four are kept or gone only where the output channels were cut in such blocks.
    assert {mask.pattern for mask in small.masks.values()} <= {"4x1", "unstructured"}


def test_reordering_channels_reorders_masks(masked: Program) -> None:
    moved = compress.permute(masked, seed=1)
    assert violations(moved) == 0
    inputs = masked.example_inputs()
    torch.testing.assert_close(moved.module()(*inputs), masked.module()(*inputs), rtol=1e-3, atol=1e-4)
    assert {n: mask.zeros for n, mask in moved.masks.items()} == {n: mask.zeros for n, mask in masked.masks.items()}


def test_masks_that_do_not_fit_are_refused(masked: Program) -> None:
    for name, shape in (("nobody", (3,)), ("stem.weight", (3,)), ("norm.running_mean", (24,))):
        with pytest.raises(ValueError, match="does not fit"):
            masked.copy().set_masks({name: Mask(torch.ones(shape, dtype=torch.bool), "unstructured")})
