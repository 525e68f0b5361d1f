"""Can ONNX Runtime start a provider here? Tried in a process of its own: where it cannot, it tells only its log."""

from __future__ import annotations

import functools
import json
import re
import signal
import subprocess
import sys

# onnx.ModelProto of the graph Y = Relu(X) with one number.
MODEL = bytes.fromhex(
    "08083a330a0c0a0158120159220452656c751201675a0f0a0158120a0a08080112040a020801"
    "620f0a0159120a0a08080112040a02080142040a00100d"
)
_TRY = """
import json, sys
asked = json.loads(sys.stdin.read())
sys.path[:] = asked["path"]
import onnxruntime
if asked["provider"] not in onnxruntime.get_available_providers():
    sys.exit("the onnxruntime that is installed was built without " + asked["provider"])
wanted = [asked["provider"], "CPUExecutionProvider"]
session = onnxruntime.InferenceSession(bytes.fromhex(asked["model"]), providers=wanted, enable_fallback=0)
print(json.dumps(session.get_providers()))
"""
_SECONDS = 120
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CAUSES = tuple(re.compile(rf"{mark}(.+)") for mark in ("with error: ", "FAIL : "))


@functools.lru_cache(maxsize=None)  # noqa: UP033 - what a machine lacks does not change while the process runs
def why_not(provider: str) -> str | None:
    """Return why ONNX Runtime cannot start ``provider`` here, None where it can."""
    asked = json.dumps({"path": sys.path, "model": MODEL.hex(), "provider": provider})
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRY], input=asked, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it does not start within {_SECONDS} s"
    if done.returncode < 0:
        return f"it crashes with signal {-done.returncode} ({signal.Signals(-done.returncode).name}) when it starts"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines and provider in json.loads(lines[-1]):
        return None
    return cause(done.stderr)


def cause(log: str) -> str:
    """Return the reason in a log of ONNX Runtime, or an error message, in a few words."""
    lines = [_COLOUR.sub("", line).strip() for line in log.splitlines()]
    lines = [line for line in lines if line]
    for pattern in _CAUSES:
        for line in lines:
            found = pattern.search(line)
            if found:
                return found[1][:300]
    return lines[-1][:300] if lines else "it gives no reason"
