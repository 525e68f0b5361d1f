from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from compress.errors import InputError
from deploy.judging import policy


def test_the_documented_example_is_a_policy(tmp_path: Path) -> None:
    text = textwrap.dedent((policy.__doc__ or "").partition("::\n")[2])
    (tmp_path / "gate.yaml").write_text(text)
    read = policy.make(policy.read(tmp_path / "gate.yaml"))
    assert set(text.split()) >= {f"{name}:" for name in policy.Policy.model_fields if name not in ("p90", "p99")}
    assert read.paced() == {"latency": 0.05, "p95": 0.1}
    assert (read.size, read.macs, read.accuracy) == (0.0, 0.0, 0.005)
    assert read.sizes == {"height": 224}
    assert read.fail_alpha == pytest.approx(0.01 / 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latancy: 5%", "did you mean latency?"),
        ("shininess: 5%", "there are latency, p90"),
        ("latency: much", "write 5% or 0.05"),
        ("latency: true", "write 5% or 0.05"),
        ("latency: 0", "greater than 0"),
        ("latency: 5", "5 would be 500%: write 5%, or 500% where that is meant"),
        ("size: '1'", "'1' would be 100%: write 1%"),
        ("latency: 5%\nsize: 0%\nlatency: 50%", "'latency' is there twice"),
        ("p95: -3%", "write 5% or 0.05"),
        ("accuracy: 200%", "less than or equal to 1"),
        ("threads: 0", "threads of the gate's policy"),
        ("sizes: {height: 0}", "sizes.height of the gate's policy"),
        ("- latency", "is not a policy"),
        ("latency: [", "is not YAML"),
        ("alpha: 0.7", "alpha of the gate's policy"),
    ],
)
def test_what_is_no_policy_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "gate.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        policy.read(tmp_path / "gate.yaml")
    assert said in str(caught.value)
    assert "gate.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("given", "read"), [("500%", 5.0), ("0.05", 0.05), (0.05, 0.05), (5.0, 5.0), (0, 0.0)])
def test_a_share_is_in_percent_or_below_one(given: object, read: float) -> None:
    assert policy.share(given) == pytest.approx(read)


def test_a_missing_policy_is_named_and_an_empty_one_has_the_defaults(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.yaml"):
        policy.read(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert policy.make(policy.read(tmp_path / "empty.yaml")) == policy.Policy()
