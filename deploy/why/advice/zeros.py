"""Weights that are zero, which dense operators multiply by all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from deploy.why.advice.base import Adviser, Proposal, names
from deploy.why.case import Case
from deploy.why.graph import is_sparse
from deploy.why.parts import Part

_ZEROS = 0.6  # below this share of zeros dense operators are faster
_SPEED = 0.5
_LEAST = 1024  # weights of a layer


class SparseOperators(Adviser):
    """Layers full of zeros that are computed dense."""

    name: ClassVar[str] = "zeros"

    def propose(self, case: Case) -> Iterator[Proposal]:
        if not case.request.runtime.startswith("onnxruntime-cpu"):
            return
        found = [(part, share) for part in case.new_parts if (share := zeros(part)) >= _ZEROS]
        saved = sum(part.side.milliseconds * (1 - (1 - share) / _SPEED) for part, share in found)
        if saved <= 0:
            return
        path = case.benches[1].file.name
        yield Proposal(
            change=f"compress export {path} --onnx --sparse --measure: operators that skip zeros",
            label="sparse operators",
            because=f"{len(found)} layers have {100 * min(share for _, share in found):.0f} % of zeros or more and are "
            f"computed dense ({names([part.name for part, _ in found])})",
            how="each at the share of its time that its non-zeros have, at half the speed for each of them "
            "(benchmarks/README.md has what was measured by pattern)",
            topic=self.name,
            estimated=saved * case.scale,
        )


def zeros(part: Part) -> float:
    """Return the share of zeros in the weight of the part's layer; 0 for small ones, and where it is not dense."""
    from onnx import numpy_helper

    head = part.head
    if head is None or is_sparse(head) or head.op_type not in ("Conv", "Gemm", "MatMul"):
        return 0.0
    for tensor in part.graph.model.graph.initializer:
        if tensor.name == head.input[1]:
            weight = numpy_helper.to_array(tensor, str(part.graph.folder))
            return 1 - np.count_nonzero(weight) / weight.size if weight.size >= _LEAST else 0.0
    return 0.0
