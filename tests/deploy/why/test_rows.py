"""Operators of two files side by side: by layer, else in order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.runtimes.base import OperatorTiming
from deploy.why import graph, parts, rows
from deploy.why.records import Peak
from tests.deploy.why import nets

PEAK = Peak(macs=1e11, bytes=1e10, overhead=1e-4, threads=1, how="made up")


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> graph.Graph:
    return graph.read(nets.tiny(tmp_path_factory.mktemp("rows") / "net.onnx", layers=1), {"x": (1, 4, 2, 2)})


def operator(kind: str, name: str, layer: str = "") -> OperatorTiming:
    return OperatorTiming(name, kind, 1.0, (), (layer,) if layer else ())


def test_layers_are_matched_by_name_whatever_lies_between(read: graph.Graph) -> None:
    base = [operator("Conv", "c0", "a"), operator("Conv", "c1", "b"), operator("Gemm", "g", "head")]
    new = [
        operator("FusedConv", "x", "a"),
        operator("ReorderOutput", "r"),
        operator("Add", "s"),
        operator("Gemm", "y", "head"),
    ]
    found = rows.match(parts.split(base, read, PEAK), parts.split(new, read, PEAK))
    sides = {pair.name: (pair.base is not None, pair.new is not None) for pair in found}
    assert sides == {
        "a": (True, True),
        "ReorderOutput after a": (False, True),
        "Add after a": (False, True),
        "b": (True, False),
        "head": (True, True),
    }


KINDS = st.lists(st.sampled_from(["Softmax", "Add", "Transpose", "LayerNormalization"]), min_size=1, max_size=12)


@settings(deadline=None, max_examples=50)
@given(KINDS, st.integers(0, 12))
def test_one_operator_more_shifts_no_other(read: graph.Graph, kinds: list[str], place: int) -> None:
    base = [operator(kind, f"{kind}_{at}") for at, kind in enumerate(kinds)]
    longer = [*kinds[:place], "Cast", *kinds[place:]]
    new = [operator(kind, f"{kind}_{at + 3}") for at, kind in enumerate(longer)]
    found = rows.match(parts.split(base, read, PEAK), parts.split(new, read, PEAK))
    alone = [pair for pair in found if pair.base is None or pair.new is None]
    assert [pair.new.token for pair in alone if pair.new] == ["Cast"]
    assert len(found) == len(longer)
