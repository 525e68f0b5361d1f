"""The shim, in fresh interpreters: what it declares is global to a process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def run_fresh(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_torchvision_imports_and_its_operators_stay_honest() -> None:
    out = run_fresh(
        """
        from models import torchvision_shim
        declared = torchvision_shim.ensure()
        assert torchvision_shim.ensure() is declared
        import torch, torchvision
        from torchvision.extension import _has_ops
        assert _has_ops() is not declared, "declared exactly where the extension does not load"
        boxes, scores = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]]), torch.tensor([0.9, 0.8])
        try:
            kept = torchvision.ops.nms(boxes, scores, 0.5).tolist()
        except RuntimeError as error:
            kept = None
            assert "custom C++ ops" in str(error)
        assert (kept is None) is declared
        print("fine")
        """
    )
    assert out == "fine"


def test_helps_after_a_failed_import_of_torchvision() -> None:
    out = run_fresh(
        """
        try:
            import torchvision
        except RuntimeError:
            pass
        from models import torchvision_shim
        torchvision_shim.ensure()
        import torchvision
        print(torchvision.models.resnet18(num_classes=3).fc.out_features)
        """
    )
    assert out == "3"


def test_a_users_file_may_import_torchvision(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "import torchvision\n\ndef factory():\n    return torchvision.models.resnet18(num_classes=3)\n",
        encoding="utf-8",
    )
    out = run_fresh(
        f"""
        from models.user_code import UserFunction
        print(UserFunction.load({f"{file}:factory"!r})().fc.out_features)
        """
    )
    assert out == "3"


def test_a_trusted_pickle_of_a_torchvision_module_is_read(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    run_fresh(
        f"""
        from models import torchvision_shim
        torchvision_shim.ensure()
        import torch, torchvision
        torch.save(torchvision.models.resnet18(num_classes=3), {str(file)!r})
        """
    )
    out = run_fresh(
        f"""
        from compress.checkpoints import weights
        print(weights.read({str(file)!r}, trust=True).module.fc.out_features)
        """
    )
    assert out == "3"


def test_leaves_a_users_own_declaration_alone() -> None:
    out = run_fresh(
        """
        import torch
        from models import torchvision_shim
        import importlib.machinery, importlib.util
        folder = importlib.util.find_spec("torchvision").submodule_search_locations
        extension = importlib.machinery.PathFinder.find_spec("_C", folder)
        try:
            torch.ops.load_library(extension.origin)
        except OSError:
            library = torch.library.Library("torchvision", "DEF")
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchvision_shim.ensure()
        import torchvision
        print("imported")
        """
    )
    assert out == "imported"


def test_without_torchvision_nothing_happens_and_creation_names_what_to_install() -> None:
    out = run_fresh(
        """
        import sys
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name in ("torchvision", "timm"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        import importlib.util
        real = importlib.util.find_spec
        importlib.util.find_spec = lambda name, package=None: None if name == "torchvision" else real(name, package)
        sys.meta_path.insert(0, Absent())
        import models
        from compress.errors import UnavailableError
        for ref in ("torchvision:resnet18", "timm:resnet18"):
            try:
                models.create(ref)
            except UnavailableError as error:
                print(error)
        print(models.create("models:resnet8").linear.out_features)
        """
    )
    assert out.splitlines() == [
        "torchvision is not installed; pip install torchvision",
        "timm is not installed; pip install timm",
        "10",
    ]


def test_importing_models_is_light() -> None:
    out = run_fresh(
        """
        import sys
        import models
        models.parse("torchvision:resnet18?num_classes=3")
        print([name for name in ("torch", "torchvision", "timm", "numpy") if name in sys.modules])
        """
    )
    assert out == "[]"
