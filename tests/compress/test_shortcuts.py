"""Results by plain arithmetic are what the operator returns; where they are not sure they say nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.blank import Blank
from compress.shortcuts import BINARY_IN_PLACE, UNARY, UNARY_IN_PLACE, shortcut

_aten = torch.ops.aten
_BINARY = sorted(BINARY_IN_PLACE | {_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.div.Tensor}, key=str)


def checked(target: Any, *args: Any) -> bool:
    """Assert that the shortcut agrees with torch, if it says anything; say whether it did."""
    found = shortcut(target, args, {})
    if found is None:
        return False
    result = target(*[arg.meta() if isinstance(arg, Blank) else arg for arg in args])
    assert Blank.of(result).key == found
    return True


def blank(*shape: int, dtype: torch.dtype = torch.float32) -> Blank:
    return Blank.of(torch.empty(shape, dtype=dtype, device="meta"))


def turned(*shape: int) -> Blank:
    return Blank.of(torch.empty(shape, device="meta").transpose(0, -1))


@pytest.mark.parametrize("target", sorted(UNARY | UNARY_IN_PLACE, key=str))
def test_one_operand(target: torch._ops.OpOverload) -> None:
    assert checked(target, blank(2, 3, 4))
    assert checked(target, blank(4, 3, dtype=torch.float16))
    assert not checked(target, turned(2, 3))
    assert not checked(target, blank(2, 3, dtype=torch.int64))


@given(st.sampled_from(_BINARY), *[st.lists(st.sampled_from([1, 1, 3, 4]), max_size=4)] * 2)
def test_two_operands(target: torch._ops.OpOverload, left: list[int], right: list[int]) -> None:
    same = left == right
    assert checked(target, blank(*left), blank(*right)) or not same
    assert not checked(target, blank(*left), blank(*right, dtype=torch.float64))
    assert checked(target, blank(*left), 2.0)


SIZES = st.sampled_from([1, 2, 3, 8])


@given(
    st.integers(1, 3),
    SIZES,
    SIZES,
    SIZES,
    SIZES,
    st.booleans(),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 2),
)
def test_convolution(
    rank: int, batch: int, inner: int, groups: int, image: int, bias: bool, kernel: int, padding: int, stride: int
) -> None:
    target = (_aten.conv1d.default, _aten.conv2d.default, _aten.conv3d.default)[rank - 1]
    x, weight = blank(batch, inner * groups, *[image] * rank), blank(2 * groups, inner, *[kernel] * rank)
    rest = ([stride] * rank, [padding] * rank, [1] * rank, groups)
    fits = image + 2 * padding >= kernel
    assert checked(target, x, weight, blank(2 * groups) if bias else None, *rest) == fits
    assert not checked(target, x, weight, blank(2 * groups + 1), *rest)
    assert not checked(target, blank(batch, inner * groups + 1, *[image] * rank), weight, None, *rest)
    if fits and stride == 1 and padding == 0 and groups == 1:
        assert checked(target, x, weight)


@given(st.lists(SIZES, min_size=1, max_size=4), SIZES, st.booleans())
def test_linear(shape: list[int], out: int, bias: bool) -> None:
    x = blank(*shape)
    assert checked(_aten.linear.default, x, blank(out, shape[-1]), blank(out) if bias else None)
    assert not checked(_aten.linear.default, x, blank(out, shape[-1] + 1), None)
    assert not checked(_aten.linear.default, x, blank(out, shape[-1]), blank(out + 1))


@given(st.lists(SIZES, min_size=1, max_size=4), st.data())
def test_layer_norm(shape: list[int], data: st.DataObject) -> None:
    over = shape[-data.draw(st.integers(1, len(shape))) :]
    assert checked(_aten.layer_norm.default, blank(*shape), over, blank(*over), blank(*over), 1e-5)
    assert not checked(_aten.layer_norm.default, blank(*shape), over, blank(*over, 2), None, 1e-5)


@given(st.lists(SIZES, min_size=1, max_size=4), st.lists(st.integers(-5, 4), min_size=1, max_size=3), st.booleans())
def test_mean(shape: list[int], dims: list[int], keep: bool) -> None:
    sound = all(-len(shape) <= dim < len(shape) for dim in dims) and len({dim % len(shape) for dim in dims}) == len(
        dims
    )
    assert checked(_aten.mean.dim, blank(*shape), dims, keep) == sound
    assert not checked(_aten.mean.dim, blank(*shape, dtype=torch.int64), dims, keep)
    assert not sound or checked(_aten.mean.dim, blank(*shape), dims)


@given(SIZES, SIZES, st.lists(SIZES, min_size=1, max_size=3), st.data())
def test_adaptive_pooling(batch: int, channels: int, image: list[int], data: st.DataObject) -> None:
    pooled = data.draw(st.lists(st.integers(1, 3), min_size=len(image), max_size=len(image)))
    target = (_aten.adaptive_avg_pool1d, _aten.adaptive_avg_pool2d, _aten.adaptive_avg_pool3d)[len(image) - 1].default
    assert checked(target, blank(batch, channels, *image), pooled)
    assert not checked(target, turned(*image[::-1], channels, batch + 1), pooled)


def test_batch_norm() -> None:
    rest = [blank(3)] * 4
    for training in (False, True):
        for x in (blank(2, 3, 4, 4), turned(4, 3, 2), blank(2, 3)):
            assert checked(_aten.batch_norm.default, x, *rest, training, 0.1, 1e-5, True)
