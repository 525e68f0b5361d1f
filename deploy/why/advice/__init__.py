"""What would make a file faster: one kind of change a file, each with an estimate that is measured where it can be."""

from __future__ import annotations

from deploy.why.advice.choosing import advise

__all__ = ["advise"]
