"""Makes ``import torchvision`` work beside a torch build that its compiled extension was not linked against.

torchvision's default wheel is linked against CUDA; beside a CPU build of torch its extension does not load, and then
``import torchvision`` dies on ``operator torchvision::nms does not exist``, because it registers shape functions for
two operators that only the extension defines. Declaring the two schemas is all that the import needs. The operators
stay without a kernel: box operations still report torchvision's own "couldn't load custom C++ ops".
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_lock = threading.Lock()
# The schemas live as long as this object does.
_library: torch.library.Library | None = None


def ensure() -> bool:
    """Declare the schemas of ``torchvision::nms`` and ``::qnms`` where the extension cannot.

    Call it before importing torchvision or timm; it is cheap to call again. Does nothing where torchvision is absent,
    already imported, or has a working extension.

    Returns:
        Whether the schemas in use were declared here.
    """
    global _library
    with _lock:
        if _library is None and not _imports_by_itself():
            _library = _declare_missing()
        return _library is not None


def _imports_by_itself() -> bool:
    if "torchvision" in sys.modules:
        return True
    package = importlib.util.find_spec("torchvision")
    if package is None or package.submodule_search_locations is None:
        return True
    return _extension_loads(list(package.submodule_search_locations))


def _extension_loads(folders: list[str]) -> bool:
    import torch

    extension = importlib.machinery.PathFinder.find_spec("_C", folders)
    if extension is None or extension.origin is None:
        return False
    try:
        torch.ops.load_library(extension.origin)
    except OSError:
        return False
    return True


def _declare_missing() -> torch.library.Library | None:
    import torch

    missing = [name for name in _OPERATORS if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return None
    # FRAGMENT where somebody else, a user's own shim for example, has opened the namespace for one of the two.
    library = torch.library.Library("torchvision", "DEF" if len(missing) == len(_OPERATORS) else "FRAGMENT")
    for name in missing:
        library.define(name + _SCHEMA)
    return library
