"""Einsum equations: which letter stands at each dimension, and the pairwise products that they cost."""

from __future__ import annotations

from collections.abc import Sequence


def letters_of(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, ellipses and an implicit result written out."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    free = "".join(chr(code) for code in range(0x3B1, 0x3B1 + 24))  # Greek letters: einsum has only Latin ones
    most = max((rank - len(term) + 3 for term, rank in zip(terms, ranks, strict=True) if "..." in term), default=0)
    written = [
        term.replace("...", free[most - (rank - len(term) + 3) : most]) for term, rank in zip(terms, ranks, strict=True)
    ]
    if not arrow:
        once = sorted(letter for letter in set("".join(written)) - set(free) if "".join(written).count(letter) == 1)
        return written, free[:most] + "".join(once)
    return written, output.replace("...", free[:most])


def pairwise_products(inputs: Sequence[str], output: str) -> list[str]:
    """The letters that each multiplication runs over when operands are multiplied from left to right.

    A letter that neither a later operand nor the result has is summed over as soon as possible.
    """
    products = []
    held = set(inputs[0])
    for position, term in enumerate(inputs[1:], 1):
        together = held | set(term)
        products.append("".join(sorted(together)))
        held = together & set("".join([*inputs[position + 1 :], output]))
    return products
