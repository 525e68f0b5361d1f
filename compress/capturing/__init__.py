"""From a live ``nn.Module`` or an exported archive to a Program: two captures over one weight store."""

from compress.capturing._capture import capture
from compress.capturing._foreign import from_exported
from compress.capturing._stage import Stage
from compress.capturing._unlift import CALL, MARK

__all__ = ["CALL", "MARK", "Stage", "capture", "from_exported"]
