"""The operators compute what ONNX's own do, on random shapes, and refuse damaged models without a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from compress.operators import DOMAIN
from exporters.sparse import compiler
from tests.exporters.sparse.building import Case, difference, model, pruned, random_case, session

ROOT = Path(__file__).parents[3]
CLOSE = 1e-4


def worst_of(count: int, seed: int) -> tuple[float, Case]:
    generator = np.random.default_rng(seed)
    cases = [random_case(generator) for _ in range(count)]
    errors = [difference(case, threads=1 + number % 2, seed=number) for number, case in enumerate(cases)]
    return max(errors), cases[int(np.argmax(errors))]


def test_random_layers_equal_dense_ones() -> None:
    worst, case = worst_of(80, seed=0)
    assert worst < CLOSE, case


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_thousands_of_random_layers_equal_dense_ones(seed: int) -> None:
    worst, case = worst_of(500, seed)
    assert worst < CLOSE, case


@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_of_this_machine_computes_the_same(name: str) -> None:
    """The choice is made once for a process, so each needs its own."""
    code = (
        "import ctypes; from exporters.sparse import library;"
        "from tests.exporters.sparse.test_operators import worst_of;"
        "isa = ctypes.CDLL(str(library.find())).compress_sparse_isa; isa.restype = ctypes.c_char_p;"
        "print(isa().decode(), worst_of(25, 5)[0])"
    )
    environment = {"COMPRESS_SPARSE_ISA": name, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    used, worst = done.stdout.split()
    if used != name:
        pytest.skip(f"this processor has no {name} (asked for it, {used} was used)")
    assert float(worst) < CLOSE


def test_batch_and_size_may_change_from_run_to_run() -> None:
    generator = np.random.default_rng(3)
    case = Case(pruned(generator, (24, 16, 3, 3), 0.3, 4), (1, 16, 9, 9), block=4, pads=(1, 1, 1, 1))
    inputs: dict[str, Any] = {"X": ["n", 16, "h", "w"]}
    node = helper.make_node("SparseConv", ["X", "values", "mask"], ["Y"], domain=DOMAIN, **case.attributes())
    sparse = session(model([node], case.constants(), inputs).SerializeToString())
    convolution = helper.make_node("Conv", ["X", "W"], ["Y"], pads=case.pads)
    dense = session(model([convolution], {"W": case.weight}, inputs).SerializeToString())
    for batch, height, width in ((1, 9, 9), (3, 9, 9), (2, 40, 17), (1, 3, 1), (1, 9, 9), (0, 9, 9)):
        x = generator.standard_normal((batch, 16, height, width)).astype(np.float32)
        one, other = (made.run(None, {"X": x})[0] for made in (sparse, dense))
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_nan_and_infinity_in_the_input_come_through_as_in_dense_layers() -> None:
    case = Case(np.ones((4, 4, 1, 1), np.float32), (1, 4, 4, 4), block=4, bounds={"low": 0.0})
    feed = case.feed()
    feed["X"][0, 0, 0, 0], feed["X"][0, 1, 1, 1] = np.nan, np.inf
    expected, found = (session(data).run(None, feed)[0] for data in (case.dense(), case.sparse()))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


GOOD = Case(np.ones((8, 4, 3, 3), np.float32), (1, 4, 8, 8), block=4)
WRONG: list[dict[str, Any]] = [
    {"block": 3},
    {"block": 0},
    {"block": -4},
    {"block": 1},
    {"features": 0},
    {"features": -8},
    {"features": 9},
    {"features": 2**62},
    {"channels": 2**62},
    {"channels": 0},
    {"channels": 5},
    {"group": 0},
    {"group": 3},
    {"group": -1},
    {"group": 2**40},
    {"kernel_h": 0},
    {"kernel_h": 2**40, "kernel_w": 2**40},
    {"stride_h": 0},
    {"stride_w": -1},
    {"dilation_h": 0},
    {"dilation_w": 2**50},
    {"pad_top": -1},
    {"pad_left": 2**60},
    {"low": 1.0, "high": 0.0},
    {"low": float("nan")},
]
PRODUCT = Case(np.ones((8, 6), np.float32), (2, 6), block=2)


@pytest.mark.parametrize("name", ["channels", "features", "kernel_h", "kernel_w"])
def test_a_missing_attribute_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(Exception, match=name):
        session(GOOD.sparse(**{name: None}))


@pytest.mark.parametrize("name", ["columns", "features"])
def test_a_missing_attribute_of_a_product_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(Exception, match=name):
        session(PRODUCT.sparse(**{name: None}))


@pytest.mark.parametrize(
    "changes",
    WRONG,
    ids=str,
)
def test_wrong_attributes_are_errors(changes: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="SparseConv"):
        session(GOOD.sparse(**changes))


@pytest.mark.parametrize("size", [2**16, 2**20])
def test_huge_padding_is_computed_or_refused(size: int) -> None:
    """What is asked for is legal, but may need more memory than there is."""
    made = session(GOOD.sparse(pad_top=size, stride_h=2**20))
    try:
        shape = made.run(None, GOOD.feed())[0].shape
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions have no narrower base
        shape, said = None, str(error)
    rows = (size + 8 - 3) // 2**20 + 1
    assert shape == (1, 8, rows, 6) or (shape is None and "SparseConv" in said)


def with_constants(**changes: Any) -> bytes:
    """The good model with other weights; None makes one an input of the graph."""
    constants = GOOD.constants() | changes
    inputs: dict[str, Any] = {"X": GOOD.x}
    if constants["values"] is None:
        inputs["values"] = (288,)
    node = helper.make_node("SparseConv", ["X", "values", "mask"], ["Y"], domain=DOMAIN, **GOOD.attributes())
    return model(
        [node], {name: array for name, array in constants.items() if array is not None}, inputs
    ).SerializeToString()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mask": np.zeros(3, np.uint8)}, "mask has 3 bytes"),
        ({"mask": np.zeros(0, np.uint8)}, "mask has 0 bytes"),
        ({"mask": np.full(9, -1, np.int8)}, "mask|type"),
        ({"mask": np.zeros(9, np.uint8)}, "0 set bits"),
        ({"values": np.zeros(287, np.float32)}, "287"),
        ({"values": np.zeros(0, np.float32)}, "there are 0"),
        ({"values": np.zeros(288, np.float64)}, "values|type"),
        ({"values": None}, "initializer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_weights_are_errors(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        session(with_constants(**changes))


@pytest.mark.parametrize(
    ("case", "shape"),
    [(GOOD, (1, 5, 8, 8)), (GOOD, (1, 4, 8)), (PRODUCT, (2, 7)), (PRODUCT, ())],
    ids=str,
)
def test_inputs_of_the_wrong_shape_are_errors(case: Case, shape: tuple[int, ...]) -> None:
    operator = "SparseConv" if case.is_convolution else "SparseMatMul"
    node = helper.make_node(operator, ["X", "values", "mask"], ["Y"], domain=DOMAIN, **case.attributes())
    made = session(
        model([node], case.constants(), {"X": [f"d{axis}" for axis in range(len(shape))]}).SerializeToString()
    )
    with pytest.raises(Exception, match="shape"):
        made.run(None, {"X": np.ones(shape, np.float32)})


@pytest.mark.parametrize("changes", [{"bias": np.ones(7, np.float32)}, {"residual": (1, 8, 5, 5)}], ids=str)
def test_bias_and_residual_of_the_wrong_shape_are_errors(changes: dict[str, Any]) -> None:
    case = Case(GOOD.weight, GOOD.x, block=4, **changes)
    with pytest.raises(Exception, match=next(iter(changes))):
        session(case.sparse()).run(None, case.feed())


def test_equal_weights_are_unpacked_once_for_all_sessions() -> None:
    """Many sessions of one model take hardly more memory than one: weights are shared."""
    code = (
        "import numpy as np; from tests.exporters.sparse.building import Case, session\n"
        "case = Case(np.ones((1024, 2048), np.float32), (1, 2048), block=4)\n"
        "data = case.sparse()\n"
        "peak = lambda: int(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1])\n"
        "made = [session(data)]; one = peak(); made += [session(data) for _ in range(4)]; print(peak() - one)"
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's memory")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    initializers = 4 * 1024 * 2048 * 4 / 1024  # each session holds its own copy of the file's weights, in kB
    unpacked = 4 * 1024 * 2048 * 5 / 1024
    assert int(done.stdout) < initializers + unpacked / 2


def test_the_kernels_are_made_for_all_instruction_sets() -> None:
    assert set(compiler.instruction_sets("linux-x86_64")) == {"baseline", "avx2", "avx512"}
