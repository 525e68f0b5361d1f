"""Who may import whom, read from the imports themselves: those that run on import, and those inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("models", "compress", "exporters", "deploy")
LEAVES = {"compress.errors", "compress.files", "compress.operators"}
OVER_ALL = ("compress.pipeline", "compress.cli")
HEAVY = {"torch", "torchvision", "timm", "onnx", "onnxruntime", "onnxscript", "accelerate", "plotly", "tensorrt"}
OPTIONAL = {"tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings", "openvino", "cv2"}


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(tree: ast.AST, module: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            assert node.module is not None
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            for full in submodules:
                yield (full if (ROOT / Path(*full.split("."))).with_suffix(".py").exists() else node.module), node


def on_import(tree: ast.Module) -> set[ast.stmt]:
    """The import statements that run when the module is imported: not in functions, not for type checkers only."""
    found: set[ast.stmt] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.add(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [
                child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.ExceptHandler)
            ]
    return found


def typing_only(tree: ast.Module) -> set[ast.stmt]:
    """The import statements under ``if TYPE_CHECKING``."""
    return {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for child in ast.walk(statement)
        if isinstance(child, ast.Import | ast.ImportFrom)
    }


def owner(name: str) -> str:
    return name.partition(".")[0]


def may(importer: str, imported: str) -> bool:
    """Whether the module ``importer`` may import the project's module ``imported``."""
    source, target = owner(importer), owner(imported)
    if source == target or imported in LEAVES:
        return importer.startswith(OVER_ALL) or not imported.startswith(OVER_ALL)
    if importer.startswith(OVER_ALL):
        return True
    if source == "compress":
        return target == "models"
    if source == "exporters":
        return imported == "compress"
    return False


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_know_only_whom_they_may(package: str) -> None:
    wrong = []
    for name, path in modules(package):
        tree = ast.parse(path.read_text())
        for imported, _ in imports(tree, name):
            if owner(imported) in PACKAGES and not may(name, imported):
                # The entry points hand over to the command line; nobody else may know it.
                if name == "compress.__main__" and imported == "compress.cli":
                    continue
                wrong.append(f"{name} imports {imported}")
    assert not wrong


def test_pipeline_and_cli_import_nothing_heavy_before_they_run() -> None:
    wrong = []
    for name, path in modules("compress"):
        if not name.startswith(OVER_ALL):
            continue
        tree = ast.parse(path.read_text())
        eager = on_import(tree)
        for imported, node in imports(tree, name):
            foreign = owner(imported) in PACKAGES and imported not in LEAVES and not imported.startswith(OVER_ALL)
            if node in eager and (owner(imported) in HEAVY or foreign):
                wrong.append(f"{name} imports {imported} on import")
    assert not wrong


def test_deploy_never_imports_torch() -> None:
    wrong = []
    for name, path in modules("deploy"):
        tree = ast.parse(path.read_text())
        skipped = typing_only(tree)
        wrong += [name for imported, node in imports(tree, name) if owner(imported) == "torch" and node not in skipped]
    assert not wrong


def test_optional_packages_are_imported_on_use_only() -> None:
    wrong = []
    for package in PACKAGES:
        for name, path in modules(package):
            tree = ast.parse(path.read_text())
            eager = on_import(tree)
            wrong += [name for imported, node in imports(tree, name) if owner(imported) in OPTIONAL and node in eager]
    assert not wrong


@pytest.mark.parametrize("module", ["models", "compress", "exporters", "deploy", "deploy.report", "compress.cli"])
def test_importing_a_facade_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'torchvision', 'timm'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_deploy_measures_without_torch_in_the_process() -> None:
    code = "import sys, deploy; deploy.profile, deploy.gate, deploy.compare; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"
