from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import deploy
from compress.errors import InputError, UnavailableError
from deploy.records import Comparison, Verdict


def test_a_file_passes_against_itself(net: Path) -> None:
    verdict = deploy.gate(net, net, max_regression=0.25, budget=20)
    assert (verdict.status, verdict.exit_code) == ("pass", 0)
    assert verdict.text.startswith("PASS")
    assert verdict.high is not None
    assert verdict.high < 0.25
    assert verdict.resolution is not None
    assert verdict.seconds < 25


def test_clearly_more_work_fails(net: Path, bigger_net: Path) -> None:
    verdict = deploy.gate(net, bigger_net, max_regression=0.25, budget=20)
    assert (verdict.status, verdict.exit_code) == ("fail", 1)
    assert verdict.text.startswith("FAIL")
    assert "\n" not in verdict.text
    assert verdict.low is not None
    assert verdict.low > 0.25
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_less_work_passes(net: Path, bigger_net: Path) -> None:
    verdict = deploy.gate(bigger_net, net, max_regression=0.25, budget=20)
    assert verdict.exit_code == 0
    assert verdict.slowdown is not None
    assert verdict.slowdown < 0


def test_a_tolerance_below_what_the_machine_resolves_is_refused(net: Path) -> None:
    verdict = deploy.gate(net, net, max_regression=1e-9, budget=0.5)
    assert (verdict.status, verdict.exit_code) == ("unresolvable", 3)
    assert "below what this machine can resolve" in verdict.text
    assert verdict.looks == []


def test_a_budget_too_short_for_any_look_is_undecided(net: Path) -> None:
    verdict = deploy.gate(net, net, max_regression=0.05, budget=1e-6)
    assert verdict.exit_code == 3
    assert verdict.resolution is None


def test_no_verdict_contradicts_the_looks(net: Path, bigger_net: Path) -> None:
    verdict = deploy.gate(net, bigger_net, max_regression=0.25, budget=20)
    assert [look.pairs for look in verdict.looks] == sorted(look.pairs for look in verdict.looks)
    lows = [look.low for look in verdict.looks if look.low is not None]
    assert lows == sorted(lows)
    assert verdict.looks[-1].blocks == verdict.blocks
    with pytest.raises(ValueError, match="exit code"):
        Verdict.model_validate(verdict.model_dump() | {"exit_code": 0})


def test_inputs_of_both_files_must_agree(net: Path, make_net: Callable[..., Path]) -> None:
    other = make_net("taller.onnx", height=32)
    with pytest.raises(InputError, match=r"taller.onnx: its inputs .*32.* are not those of base.onnx"):
        deploy.gate(net, other)
    with pytest.raises(InputError, match="inputs"):
        deploy.compare(net, make_net("half.onnx", half=True))


@pytest.mark.parametrize("options", [{"max_regression": 0}, {"max_regression": -0.1}, {"budget": 0}, {"alpha": 0.7}])
def test_senseless_arguments_are_refused(net: Path, options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        deploy.gate(net, net, **options)  # type: ignore[arg-type]


def test_missing_files_and_runtimes(net: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        deploy.gate(net, tmp_path / "none.onnx")
    with pytest.raises(UnavailableError):
        deploy.gate(net, net, runtime="onnxruntime-cuda")


def test_comparison_tells_which_is_faster_and_by_how_much(net: Path, bigger_net: Path) -> None:
    comparison = deploy.compare(bigger_net, net, seconds=0.5)
    assert comparison.ratio_low is not None
    assert comparison.ratio_high is not None
    assert comparison.ratio_low <= comparison.ratio <= comparison.ratio_high < 1
    assert "as fast as bigger.onnx" in comparison.text
    assert comparison.pairs >= 16
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison


def test_comparison_of_a_file_with_itself_covers_one(net: Path) -> None:
    comparison = deploy.compare(net, net, seconds=0.5)
    assert 0.8 < comparison.ratio < 1.25
