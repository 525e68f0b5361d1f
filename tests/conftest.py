"""What holds for all tests: examples are not judged by how long they took, one thread computes, and Ctrl-C interrupts.

A shared machine may be slow at any time, and threads that wait for one another make a small network ten times slower
there. A shell that starts this in the background lets it ignore SIGINT, and children inherit that: the tests that press
Ctrl-C would wait for ever.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; its processes inherit it
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
