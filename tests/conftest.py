"""What holds for all tests: no example is judged by how long it took, since the machine may be shared."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
