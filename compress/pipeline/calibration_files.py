"""The ONNX file of each choice that is measured: cut from the dense file where that is possible, else exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import InputError
from compress.pipeline.calibration_bench import Conditions
from compress.pipeline.calibration_template import Template, UnexplainedError, telling_widths
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    import onnx

    from compress import Program
    from compress.axes.analysis import Analysis

Whole = NDArray[np.int64]
Figures = NDArray[np.float64]

_ROWS = 4  # neighbouring output channels that a block of the pattern 4x1 has
_LAYER = "compress.layer"


class Files:
    """Writes the files of choices into ``folder``.

    Args:
        analysis: of the network with weights drawn at random: no two equal ones, which the export would merge.
        layers: names of those that have a density; none where weights are dense.
        conditions: that sparse layers are chosen for.
    """

    def __init__(
        self, analysis: Analysis, layers: Sequence[str], folder: Path, conditions: Conditions, reporter: Reporter
    ) -> None:
        self._analysis, self._layers, self._folder = analysis, list(layers), folder
        self._conditions = conditions
        self.dense = folder / "dense.onnx"
        self._write = self._learn(reporter)

    def write(self, name: str, widths: Whole, densities: Figures) -> Path:
        """Write the file of a choice.

        Raises:
            CompressError: the network cannot be exported so.
        """
        path = self._folder / f"{name}.onnx"
        if not self._layers:
            self._write(path, widths)
            return path
        import onnx

        from exporters.sparse.sparsify import sparsify_to_measure

        plain = self._folder / f"{name}.plain.onnx"
        self._write(plain, widths)
        model = onnx.load(str(plain))
        masked(model, dict(zip(self._layers, densities.tolist(), strict=True)))
        onnx.save(model, str(plain))
        sparsify_to_measure(plain, path, threads=self._conditions.threads, batch=self._conditions.batch)
        plain.unlink()
        return path

    def _learn(self, reporter: Reporter) -> Callable[[Path, Whole], None]:
        full = np.array([group.width for group in self._analysis.prunable], np.int64)
        smallest = np.maximum(full // 2, 1)
        widths = telling_widths(full, smallest)
        proof = np.random.default_rng(0).integers(smallest, full + 1)
        files = [self.dense, *(self._folder / f"cut-{number}.onnx" for number in range(1, len(widths) + 1))]
        with reporter.step(f"exporting the dense network, and {len(widths)} cut ones to learn from"):
            for path, row in zip(files, [*widths, proof], strict=True):
                self._export(path, row)
        try:
            template = Template.learn(self._analysis, widths, files[:-1])
            template.check(proof, files[-1])
        except UnexplainedError as reason:
            reporter.say(f"each configuration is exported anew: {reason}")
            return self._export

        def cut(path: Path, row: Whole) -> None:
            import onnx

            onnx.save(template.made(row), str(path))

        return cut

    def _export(self, path: Path, widths: Whole) -> None:
        import exporters

        exporters.to_onnx(cut_program(self._analysis, widths), path, overwrite=True)


def cut_program(analysis: Analysis, widths: Whole) -> Program:
    """Return the network with the first ``widths`` atoms of every group."""
    from compress.axes.surgery import remove

    keep = {
        group.name: np.arange(width)
        for group, width in zip(analysis.prunable, widths.tolist(), strict=True)
        if width < group.width
    }
    return remove(analysis, keep) if keep else analysis.program


def masked(model: onnx.ModelProto, densities: Mapping[str, float], seed: int = 0) -> None:
    """Put zeros in blocks of four output channels into the weights of the layers named, in place.

    Raises:
        InputError: the file has no weight of a layer.
    """
    from onnx import numpy_helper

    random = np.random.default_rng(seed)
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    left = dict(densities)
    for node in model.graph.node:
        layer = next((entry.value for entry in node.metadata_props if entry.key == _LAYER), None)
        if layer not in left or node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in held:
            continue
        tensor, density = held[node.input[1]], left.pop(layer)
        array = numpy_helper.to_array(tensor).copy()
        by_rows = array if node.op_type == "Conv" or _is_transposed(node) else array.T
        by_rows *= _mask(by_rows.shape, density, random)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    if left:
        raise InputError(f"the exported file has no weight of layer {next(iter(left))}", hint="calibrate dense weights")


def _is_transposed(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _mask(shape: tuple[int, ...], density: float, random: np.random.Generator) -> Any:
    """Which weights stay, of ``shape`` with output channels first."""
    columns = int(np.prod(shape[1:]))
    blocks = -(-shape[0] // _ROWS) * columns
    kept = np.zeros(blocks, bool)
    kept[random.permutation(blocks)[: max(round(density * blocks), 1)]] = True
    rows = np.repeat(kept.reshape(-1, columns), _ROWS, axis=0)[: shape[0]]
    return rows.reshape(shape).astype(np.float32)
