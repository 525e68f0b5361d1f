"""The Program as callers see it: specifications, weights, fingerprints, export."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import compress
from compress import Program
from compress.errors import CheckpointError
from tests.compress.networks import Classifier, Segmenter, Tied, TwoInputs, captured, image, warmed


@pytest.fixture(scope="module")
def program() -> Program:
    return captured(warmed(Classifier))


def test_inputs_and_outputs_are_described_at_batch_one(program: Program) -> None:
    assert program.inputs == (("image", (1, 3, 16, 16), "float32"),)
    assert program.outputs == (("output", (1, 10), "float32"),)
    assert [value.shape[0] for value in program.example_inputs(batch=5)] == [5]


def test_example_inputs_depend_on_the_seed_alone(program: Program) -> None:
    assert torch.equal(program.example_inputs(seed=3)[0], program.example_inputs(seed=3)[0])
    assert not torch.equal(program.example_inputs(seed=3)[0], program.example_inputs(seed=4)[0])


def test_the_facade_names_what_it_promises() -> None:
    for name in compress.__all__:
        assert getattr(compress, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = compress.nothing
    assert "prune" in dir(compress)


def test_fingerprints_see_weights_buffers_and_shapes(program: Program) -> None:
    same = captured(warmed(Classifier))
    assert same.fingerprint() == program.fingerprint()
    assert same.structure_hash() == program.structure_hash()
    for name in ("head.weight", "stem.1.running_mean", "stem.1.num_batches_tracked"):
        other = program.copy()
        with torch.no_grad():
            other.tensors[name].add_(1)
        assert other.fingerprint() != program.fingerprint(), name
        assert other.structure_hash() == program.structure_hash()
    assert captured(Classifier(width=8)).structure_hash() != program.structure_hash()


def test_weights_are_loaded_strictly(program: Program) -> None:
    other = program.copy()
    state = {name: torch.zeros_like(value) for name, value in program.state_dict().items()}
    other.load_state_dict(state)
    assert all(float(value.abs().sum()) == 0 for value in other.state_dict().values())
    assert program.fingerprint() != other.fingerprint()
    with pytest.raises(CheckpointError, match="missing"):
        other.load_state_dict({name: value for name, value in state.items() if name != "head.bias"})
    with pytest.raises(CheckpointError, match=r"head\.bias"):
        other.load_state_dict({**state, "head.bias": torch.zeros(11)})


def test_another_precision_leaves_the_program_as_it_is(program: Program) -> None:
    wide = program.astype(torch.float64)
    assert (wide.dtype, program.dtype) == (torch.float64, torch.float32)
    assert wide.tensors["stem.1.num_batches_tracked"].dtype == torch.int64
    x = image()
    torch.testing.assert_close(wide.module()(x.double()).float(), program.module()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", [Classifier, Tied, Segmenter])
def test_the_exported_program_is_the_evaluation_graph(build: Callable[[], torch.nn.Module]) -> None:
    program = captured(warmed(build))
    before = program.fingerprint()
    exported = program.export_program()
    expected = program.module()(image(5))
    found = exported.module()(image(5))
    pairs = [(expected, found)] if isinstance(expected, torch.Tensor) else list(zip(expected, found, strict=True))
    assert all(torch.equal(one, other) for one, other in pairs)
    assert program.fingerprint() == before


def test_exporting_over_and_over_changes_nothing(program: Program) -> None:
    names = [[node.name for node in program.export_program().graph.nodes] for _ in range(3)]
    assert names[0] == names[1] == names[2]


def test_several_inputs_are_exported_with_one_batch() -> None:
    example = (torch.randn(2, 3, 8, 8), torch.randn(2, 6))
    program = compress.capture(TwoInputs(), example)
    larger = tuple(torch.cat([value, value, value]) for value in example)
    assert torch.equal(program.export_program().module()(*larger), program.module()(*larger))


def test_groups_are_named_and_frozen_ones_say_why(program: Program) -> None:
    groups = program.groups()
    assert {group.name for group in groups if group.kind == "exact"} == {"stem.0", "block.0", "block.3"}
    frozen = [group for group in groups if group.kind == "frozen"]
    assert [(group.name, group.reason) for group in frozen] == [("head", "network output")]


def test_permuting_is_a_new_program_with_the_same_function(program: Program) -> None:
    before = program.fingerprint()
    other = compress.permute(program, seed=5)
    assert program.fingerprint() == before
    assert other.fingerprint() != before
    assert other.fingerprint() == compress.permute(program, seed=5).fingerprint()
    torch.testing.assert_close(other.module()(image()), program.module()(image()), rtol=1e-3, atol=1e-4)
