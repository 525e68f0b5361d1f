"""The dense twin of a sparse operator computes what the operator was made from."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from compress.errors import InputError
from deploy.compatibility.densifying import densified, has_sparse_operators, unpack_initializers
from deploy.compatibility.evaluator import evaluate
from deploy.compatibility.retyping import retyped
from tests.exporters.sparse.building import Case

GENERATOR = np.random.default_rng(0)


def zeros(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (GENERATOR.standard_normal(shape) * (GENERATOR.random(shape) < 0.4)).astype(np.float32)


CASES = {
    "plain": Case(zeros(6, 3, 3, 3), (2, 3, 7, 7)),
    "geometry": Case(
        zeros(6, 3, 3, 2),
        (2, 3, 9, 7),
        block=2,
        strides=(2, 1),
        dilations=(1, 2),
        pads=(0, 1, 2, 1),
        bounds={"low": 0.0},
    ),
    "groups": Case(zeros(8, 2, 3, 3), (1, 4, 6, 6), block=4, group=2, bias=zeros(8), bounds={"high": 0.5}),
    "residual": Case(
        zeros(7, 3, 1, 1), (1, 3, 5, 5), block=4, residual=(1, 7, 5, 5), bounds={"low": -0.1, "high": 0.2}
    ),
    "product": Case(zeros(10, 12), (3, 12), block=4, bias=zeros(10), residual=(3, 10), bounds={"low": 0.0}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_twin_is_the_same_function(name: str) -> None:
    case = CASES[name]
    sparse, dense = onnx.load_from_string(case.sparse()), onnx.load_from_string(case.dense())
    assert has_sparse_operators(sparse)
    twin = densified(sparse)
    assert not has_sparse_operators(twin)
    assert [entry.domain for entry in twin.opset_import] == [""]
    feeds = {
        value.name: GENERATOR.standard_normal([size.dim_value for size in value.type.tensor_type.shape.dim])
        for value in dense.graph.input
    }
    (mine,), (theirs,) = (evaluate(retyped(model, "fp64"), feeds) for model in (twin, dense))
    np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)
    onnx.shape_inference.infer_shapes(twin, check_type=True, strict_mode=True)


def test_weights_that_are_not_in_the_file_are_refused() -> None:
    model = onnx.load_from_string(CASES["plain"].sparse())
    del model.graph.initializer[:]
    with pytest.raises(InputError, match="SparseConv"):
        densified(model)


def test_sparse_initializers_become_dense() -> None:
    from exporters.sparse.coo import _convert

    dense = onnx.load_from_string(Case(zeros(16, 40) * 0 + np.eye(16, 40, dtype=np.float32), (2, 40)).dense())
    stored = onnx.ModelProto()
    stored.CopyFrom(dense)
    assert _convert(stored)
    unpack_initializers(stored)
    assert not stored.graph.sparse_initializer
    feeds = {"X": GENERATOR.standard_normal((2, 40))}
    mine, theirs = (evaluate(retyped(model, "fp64"), feeds)[0] for model in (stored, dense))
    assert np.array_equal(mine, theirs)
