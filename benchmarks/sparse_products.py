"""Matrix products: measured time sparse over dense, and in brackets what ``exporters/sparse/costs.py`` expects.

    python benchmarks/sparse_products.py [--rows 1 16 49]

One thread; blocks of 1, 2 and 4 rows, each with 10, 20 and 50 % of its blocks left; by the profiles of ``--measure``.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SIZES = ((256, 256), (512, 512), (1024, 576), (1000, 1280), (1000, 2048), (4096, 1024))
"""Features and columns."""
BLOCKS, DENSITIES = (1, 2, 4), (0.1, 0.2, 0.5)


def main() -> None:
    """Print a line for each number of rows and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 16, 49, 196])
    heads = [f"{block}x1 {density:.0%}" for block in BLOCKS for density in DENSITIES]
    print("| rows | features | columns | " + " | ".join(heads) + " |\n|" + "---|" * (3 + len(heads)))
    for rows in parser.parse_args().rows:
        for features, columns in SIZES:
            cells = [_cell(rows, features, columns, block, left) for block in BLOCKS for left in DENSITIES]
            print(f"| {rows} | {features} | {columns} | " + " | ".join(cells) + " |", flush=True)


def _cell(rows: int, features: int, columns: int, block: int, density: float) -> str:
    import onnx
    from onnx import helper, numpy_helper

    from exporters.sparse import library
    from exporters.sparse.costs import Expectation, expect
    from exporters.sparse.deciding import Conditions, Survey, silent

    generator = np.random.default_rng(0)
    kept = np.repeat(generator.random((features // block, columns)) < density, block, axis=0)
    weight = (generator.standard_normal((features, columns)) * kept).astype(np.float32)
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["X", "W"], ["Y"], name="product", transB=1)],
        "product",
        [helper.make_tensor_value_info("X", float32, [rows, columns])],
        [helper.make_tensor_value_info("Y", float32, [rows, features])],
        [numpy_helper.from_array(weight, "W")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    found = Survey(model, "product", Conditions(library.find(), 1, 1, {}), silent).profile(seconds=0.5)["product"]
    expected = expect(found.layer, found.packed, found.x, found.output)
    ratio = found.sparse / found.dense
    if not isinstance(expected, Expectation) or expected.sparse is None:
        return f"{ratio:.2f} (stays dense)"
    return f"{ratio:.2f} ({expected.sparse / expected.dense:.2f})"


if __name__ == "__main__":
    main()
