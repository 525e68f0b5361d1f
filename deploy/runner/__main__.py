"""``python -m deploy.runner``: the device's side of :mod:`deploy.runner.protocol`."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from compress.errors import CompressError, UnavailableError
from deploy.runner.measuring import describe, measure
from deploy.runner.protocol import error_event, read_request


def main() -> None:
    """Answer one request. Ends at once, with everything that it started, when its input closes."""
    line = sys.stdin.readline()
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        request = read_request(line)
        if request is None:
            describe(_write)
        else:
            measure(request, _write)
    except CompressError as error:
        _write(error_event(error))
    except OSError as error:
        hint = "make room for temporary files" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else None
        _write(error_event(UnavailableError(f"cannot measure here ({error.strerror or error})", hint=hint)))
    _write({"event": "done"})


def _write(event: Mapping[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except OSError:  # nobody listens any more
        os._exit(1)


def _end_with_input() -> None:
    """Children are killed by the system when this process ends, or end when their own input closes."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
