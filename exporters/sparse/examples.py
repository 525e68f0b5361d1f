"""Ten lines each that load a sparse file with its library: in Python, and in C."""

from __future__ import annotations

from pathlib import Path

_PYTHON = """\
import numpy, onnxruntime

options = onnxruntime.SessionOptions()
options.register_custom_ops_library("{library}")  # before the session is made
session = onnxruntime.InferenceSession("{model}", options, providers=["CPUExecutionProvider"])
kinds = {{"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(bool)": "bool"}}
feed = {{
    value.name: numpy.ones([size if isinstance(size, int) else 1 for size in value.shape], kinds[value.type])
    for value in session.get_inputs()
}}
print([(value.name, out.shape) for value, out in zip(session.get_outputs(), session.run(None, feed))])
"""

_C = """\
/* cc example.c -I$ORT/include -L$ORT/lib -lonnxruntime, with ONNX Runtime's release for C in $ORT */
#include <onnxruntime_c_api.h>
#include <stdio.h>
int main(void) {{
  const OrtApi* ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  OrtEnv* env; OrtSessionOptions* options; OrtSession* session;
  ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "example", &env);
  ort->CreateSessionOptions(&options);
  OrtStatus* status = ort->RegisterCustomOpsLibrary_V2(options, "./{library}"); /* before the session is made */
  if (!status) status = ort->CreateSession(env, "{model}", options, &session);
  return puts(status ? ort->GetErrorMessage(status) : "loaded") < 0 || status;
}}
"""


def python(model: Path, library: str) -> str:
    """Return a Python program that loads ``model`` with ``library``, both in the folder it is run in."""
    return _PYTHON.format(model=model.name, library=f"./{library}")


def c(model: Path, library: str) -> str:
    """Return a C program that loads ``model`` with ``library``, both in the folder it is run in."""
    return _C.format(model=model.name, library=library)
