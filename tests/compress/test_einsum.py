"""Einsum equations against torch itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import compress
from compress.einsum import letters_of, pairwise_products


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("...ij,jk", [(5, 6, 2, 3), (3, 4)]),
        ("b...d,...de->b...e", [(2, 5, 6, 3), (5, 6, 3, 4)]),
        ("ba,ca", [(2, 3), (4, 3)]),
        ("...a,...a->...", [(2, 3), (6, 2, 3)]),
    ],
)
def test_written_out_equations_compute_the_same(equation: str, shapes: list[tuple[int, ...]]) -> None:
    operands = [torch.randn(shape) for shape in shapes]
    inputs, output = letters_of(equation, [len(shape) for shape in shapes])
    named = {letter: chr(97 + at) for at, letter in enumerate(dict.fromkeys("".join(inputs)))}
    written = ",".join("".join(named[letter] for letter in term) for term in inputs)
    written += "->" + "".join(named[letter] for letter in output)
    assert torch.allclose(torch.einsum(equation, *operands), torch.einsum(written, *operands))


def test_letters_of_no_later_operand_are_summed_over_first() -> None:
    assert pairwise_products(["ab", "bc", "cd"], "ad") == ["abc", "acd"]
    assert pairwise_products(["ab"], "a") == []


class Products(nn.Module):
    """A matrix product, a linear layer written as an einsum, and one of three operands."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.einsum("btc,dc->btd", x, self.weight)
        return torch.einsum("btd,bsd,bsc->btc", y, y, x)


def test_einsum_counts_like_the_products_that_it_is() -> None:
    program = compress.capture(Products(), (torch.randn(2, 5, 6),))
    assert [layer.macs for layer in program.count().layers] == [5 * 6 * 8, 5 * 5 * 8 + 5 * 5 * 6]
