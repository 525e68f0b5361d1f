from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compress.errors import InputError, UnavailableError
from deploy import runtimes


@pytest.fixture(params=runtimes.available())
def runtime(request: pytest.FixtureRequest) -> runtimes.Runtime:
    """Every runtime that is here has to pass this file's tests."""
    return runtimes.get(request.param)


def test_runs_a_file_and_says_what_ran_it(runtime: runtimes.Runtime, net: Path) -> None:
    session = runtime.load(net, threads=2)
    (spec,) = session.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("input", "float", ("batch", 3, 24, 24))
    feeds = {"input": np.ones((2, 3, 24, 24), np.float32)}
    (first,) = session.run(feeds)
    (second,) = session.run(feeds)
    assert first.shape == (2, 16, 1, 1)
    np.testing.assert_array_equal(first, second)
    said = session.describe()
    assert said.runtime == runtime.name
    assert said.threads == 2
    assert said.version


def test_failure_while_running_is_one_line(runtime: runtimes.Runtime, net: Path) -> None:
    session = runtime.load(net, threads=1)
    with pytest.raises(InputError) as raised:
        session.run({"input": np.ones((1, 5, 24, 24), np.float32)})
    assert net.name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_known_runtime_that_is_not_here_lists_those_that_are() -> None:
    with pytest.raises(UnavailableError, match="onnxruntime-cpu") as raised:
        runtimes.get("onnxruntime-cuda")
    assert raised.value.exit_code == 4


def test_a_mistyped_runtime_is_a_wrong_input() -> None:
    with pytest.raises(InputError, match="did you mean onnxruntime-cpu"):
        runtimes.get("onnxruntime-cpuu")


def test_threads_below_one_are_refused(runtime: runtimes.Runtime, net: Path) -> None:
    with pytest.raises(InputError, match="threads"):
        runtime.load(net, threads=0)
