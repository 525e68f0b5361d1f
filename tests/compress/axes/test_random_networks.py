"""Properties of the engine on drawn networks: permutation, removal, exact sizes, files, plans."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import compress
from compress import Program
from compress.plan import Kept, Plan
from compress.pruning import apply_plan
from tests.compress.axes.drawing import SIZE, Drawn, Layer, networks
from tests.compress.axes.drawing_tokens import KINDS, Block, DrawnTokens, token_networks
from tests.compress.proofs import distance, odd_keeps, outputs, prove, train_once

# Shrinking a failure takes minutes, since every step captures a network: the drawn one is short enough to read.
_FEW = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
)
# Half of a convolution group is padding, at its beginning in one group and at its end in the other.
_PADDED_GROUPS = (Layer("pad", 4, 2, False, 0), Layer("pool", 4, 0, False, 0), Layer("grouped", 4, 0, False, 0))


def drawn(layers: tuple[Layer, ...], *, flat: bool) -> Program:
    torch.manual_seed(0)
    return compress.capture(Drawn(layers, flat=flat), (torch.randn(2, 3, SIZE, SIZE),))


@settings(_FEW, max_examples=18)
@example(_PADDED_GROUPS, False, 0)
@given(networks(), st.booleans(), st.integers(0, 1000))
def test_permuted_and_cut_networks_compute_what_they_should(layers: tuple[Layer, ...], flat: bool, seed: int) -> None:
    proof = prove(drawn(layers, flat=flat), seed)
    proof.check()
    assert not proof.analysis.unknown
    train_once(proof.smaller)


def drawn_tokens(blocks: tuple[Block, ...], *, class_token: bool) -> Program:
    torch.manual_seed(0)
    return compress.capture(DrawnTokens(blocks, class_token=class_token), (torch.randn(2, 3, 8, 8),))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_token_block_computes_what_it_should(kind: str) -> None:
    proof = prove(drawn_tokens((Block(kind, KINDS.index(kind), "layer"),), class_token=bool(KINDS.index(kind) % 2)), 1)
    proof.check()
    assert not proof.analysis.unknown
    train_once(proof.smaller)


@settings(_FEW, max_examples=10)
@given(token_networks(), st.booleans(), st.integers(0, 1000))
def test_permuted_and_cut_token_networks_compute_what_they_should(
    blocks: tuple[Block, ...], class_token: bool, seed: int
) -> None:
    proof = prove(drawn_tokens(blocks, class_token=class_token), seed)
    proof.check()
    assert not proof.analysis.unknown


@settings(_FEW, max_examples=5)
@given(networks(), st.integers(0, 1000))
def test_a_cut_network_survives_its_file_and_its_plan(layers: tuple[Layer, ...], seed: int) -> None:
    program = drawn(layers, flat=False)
    proof = prove(program, seed)
    kept = odd_keeps(proof.analysis, seed)
    widths = {group.name: group.width for group in proof.analysis.prunable}
    plan = Plan({name: Kept(widths[name], tuple(int(i) for i in index)) for name, index in kept.items()})
    smaller = apply_plan(program, plan)
    assert smaller.count().macs == proof.counted_macs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pt2"
        smaller.save(path)
        again = compress.load(path)
        assert again.fingerprint() == smaller.fingerprint()
        inputs = smaller.example_inputs(batch=3)
        assert distance(outputs(smaller, inputs), outputs(again, inputs)) == 0.0
        plan.save(Path(folder) / "plan.json")
        replayed = apply_plan(program, Plan.load(Path(folder) / "plan.json"))
        assert replayed.fingerprint() == smaller.fingerprint()


@settings(_FEW, max_examples=5)
@given(
    networks(),
    st.sampled_from(["macs", "params", "ratio"]),
    st.floats(0.3, 0.9),
    st.sampled_from(["global", "local"]),
    st.sampled_from([1, 2, 4]),
)
def test_a_target_is_reached_or_the_report_says_why_not(
    layers: tuple[Layer, ...], measure: str, share: float, scope: str, granularity: int
) -> None:
    program = drawn(layers, flat=False)
    before = program.fingerprint()
    result = compress.prune(program, f"{measure}={share:.3f}", scope=scope, granularity=granularity)
    reached = float(result.report.achieved.partition("=")[2])
    assert abs(reached - share) <= 0.0106 or result.report.note is not None
    assert program.fingerprint() == before
    assert result.program.count().macs == result.report.after.macs
