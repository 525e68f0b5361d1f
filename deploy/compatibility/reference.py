"""What a file's outputs ought to be: computed in float64 by ONNX's definition, else in float32 without optimisations.

It is computed in a process of its own: evaluators crash and take long, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.errors import InputError
from deploy.compatibility.asking import ask
from deploy.compatibility.subject import Subject
from deploy.runner.worker import Reporter
from deploy.runtimes.base import Array

EVALUATE = "deploy.compatibility.reference:evaluate"
FLOAT64 = "float64 by ONNX's definition"
UNOPTIMISED = "float32 in ONNX Runtime without optimisations"
LIMIT_SECONDS = 120.0
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


@dataclass(frozen=True)
class Reference:
    """The outputs, a file, and what computed them; or ``missing``: why there is no reference."""

    outputs: Path | None = None
    how: str | None = None
    missing: str | None = None


def compute(subject: Subject, *, timeout: float) -> Reference:
    """Return the best reference that can be had for a file.

    Sparse operators are computed as the dense ones that they stand for.
    """
    from deploy.compatibility.densifying import densified, has_sparse_operators

    feeds = subject.feeds()
    if subject.model is None or feeds is None:
        return Reference(missing="a file that is not ONNX has no reference")
    random = sorted({node.op_type for node in subject.model.graph.node} & _RANDOM)
    if random:
        return Reference(missing=f"its outputs are random ({', '.join(random)})")
    try:
        sparse = has_sparse_operators(subject.model)
        plain = densified(subject.model) if sparse else subject.model
    except InputError as error:
        return Reference(missing=error.what)
    path = subject.save(plain, "reference")
    reasons = []
    for how, name in ((FLOAT64, "fp64"), (UNOPTIMISED, "fp32")):
        outputs = subject.folder / f"reference-{name}.npz"
        asked = {"path": str(path), "feeds": str(feeds), "outputs": str(outputs), "how": how, "kind": name}
        answer = ask(EVALUATE, asked, timeout=min(timeout, LIMIT_SECONDS))
        if answer.value is not None:
            twin = ", of the dense operators that its sparse ones stand for" if sparse else ""
            return Reference(outputs, f"{how} ({answer.value['version']}){twin}")
        reasons.append(f"{how}: {answer.reason}")
    return Reference(missing="; ".join(reasons))


def deviation(actual: Path, reference: Path) -> tuple[float, str | None]:
    """Return the largest deviation of an output, relative to the largest value of that output, and what is odd.

    Where the reference is finite and the output is not, or another shape came out, it is infinite.
    """
    worst = 0.0
    with np.load(actual) as mine, np.load(reference) as theirs:
        for name in theirs.files:
            if name not in mine.files:
                return float("inf"), f"output {name} is missing"
            one, other = mine[name], theirs[name]
            if one.shape != other.shape:
                return float("inf"), f"output {name} has the shape {one.shape}, the reference's is {other.shape}"
            found = _deviation(one.astype(np.float64), other.astype(np.float64))
            if not np.isfinite(found):
                return found, f"output {name} is not finite where the reference is"
            worst = max(worst, found)
    return worst, None


def _deviation(actual: Array, reference: Array) -> float:
    finite = np.isfinite(reference)
    if not np.isfinite(actual[finite]).all() or not np.array_equal(actual[~finite], reference[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.abs(reference[finite]).max())
    apart = float(np.abs(actual[finite] - reference[finite]).max())
    return apart / scale if scale else apart


def evaluate(asked: Mapping[str, Any], _reporter: Reporter) -> dict[str, Any]:
    """Compute the outputs of one file and write them, in the process of its own.

    Raises:
        InputError: the evaluator cannot compute it.
    """
    try:
        return _evaluate(asked)
    except Exception as error:  # evaluators raise anything for what they lack, and the next one is then tried
        raise InputError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error


def _evaluate(asked: Mapping[str, Any]) -> dict[str, Any]:
    import onnx

    from deploy.compatibility.retyping import retyped

    model = retyped(onnx.load(asked["path"]), asked["kind"])
    with np.load(asked["feeds"]) as arrays:
        feeds = {name: arrays[name] for name in arrays.files}
    if asked["how"] == FLOAT64:
        from deploy.compatibility import evaluator

        outputs, version = evaluator.evaluate(model, feeds), f"onnx {onnx.__version__}"
    else:
        outputs, version = _unoptimised(model, feeds)
    tensors = [np.asarray(value) for value in outputs]
    numbers = {str(index): value for index, value in enumerate(tensors) if value.dtype.kind in "fiub"}
    np.savez(asked["outputs"], **numbers)  # type: ignore[arg-type]  # as in trial
    return {"version": version}


def _unoptimised(model: Any, feeds: Mapping[str, Array]) -> tuple[list[Array], str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    narrow = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in feeds.items()}
    return session.run(None, narrow), f"onnxruntime {onnxruntime.__version__}"
