from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import deploy

_WITHOUT_TORCH = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "timm", "models", "exporters"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
import deploy
from deploy import report

net, page = sys.argv[1:]
profiles = deploy.profile([net, net], seconds=0.05)
verdict = deploy.gate(net, net, max_regression=0.5, budget=3)
comparison = deploy.compare(net, net, seconds=0.05)
made = report.Report(title="t", profiles=profiles, gate=verdict, comparison=comparison)
report.write_html(made, page)
assert verdict.exit_code == 0, verdict.text
assert "torch" not in sys.modules
"""


def _python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    home = str(Path(deploy.__file__).parents[1])
    environment = {"PYTHONPATH": home, "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def test_measures_gates_and_reports_without_torch(net: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = _python("-c", _WITHOUT_TORCH, str(net), str(page), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert page.stat().st_size > 1_000_000


def test_importing_deploy_imports_no_runtime(tmp_path: Path) -> None:
    heavy = "{'onnx', 'onnxruntime', 'plotly', 'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    done = _python("-c", f"import sys, deploy; print(sorted({heavy}))", cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_everything_that_is_promised_is_there() -> None:
    for name in deploy.__all__:
        assert getattr(deploy, name) is not None
