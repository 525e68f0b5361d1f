"""Short programs that load a sparse file with its library and run it once: in Python, and in C."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_PYTHON = """\
import numpy, onnxruntime, pathlib

here = pathlib.Path(__file__).resolve().parent
options = onnxruntime.SessionOptions()
options.register_custom_ops_library(str(here / {library}))  # before the session is made
session = onnxruntime.InferenceSession(str(here / {model}), options, providers=["CPUExecutionProvider"])
feed = {{
{feed}
}}
print([(value.name, out.shape) for value, out in zip(session.get_outputs(), session.run(None, feed))])
"""

_C = """\
/* cc {name} -I$ORT/include -L$ORT/lib -lonnxruntime -Wl,-rpath,$ORT/lib, with ONNX Runtime's release for C in $ORT */
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
static const OrtApi* ort;
static void check(OrtStatus* status) {{
  if (!status) return;
  puts(ort->GetErrorMessage(status));
  exit(1);
}}
{data}
int main(void) {{
  const char *inputs[] = {{{inputs}}}, *outputs[] = {{{output}}};
  OrtEnv* env; OrtSessionOptions* options; OrtSession* session; OrtMemoryInfo* cpu;
  OrtValue *fed[{count}], *got[1] = {{NULL}};
  void* first;
  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "example", &env));
  check(ort->CreateSessionOptions(&options));
  check(ort->RegisterCustomOpsLibrary_V2(options, {library})); /* before the session is made */
  check(ort->CreateSession(env, {model}, options, &session));
  puts("loaded");
  check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &cpu));
{feed}
  check(ort->Run(session, NULL, inputs, (const OrtValue* const*)fed, {count}, outputs, 1, got));
  check(ort->GetTensorMutableData(got[0], &first));
  printf("%s begins with %g\\n", outputs[0], (double)*({type}*)first);
  return 0;
}}
"""

# By ONNX's element type: numpy's name, C's type, and the rest of ONNX Runtime's name for it.
_TYPES = {
    1: ("float32", "float", "FLOAT"),
    2: ("uint8", "unsigned char", "UINT8"),
    6: ("int32", "int32_t", "INT32"),
    7: ("int64", "int64_t", "INT64"),
    9: ("bool", "unsigned char", "BOOL"),
    10: ("float16", "uint16_t", "FLOAT16"),
    11: ("float64", "double", "DOUBLE"),
}


def python(model: Path, library: str, sizes: Mapping[str, int]) -> str:
    """Return a Python program that runs ``model`` with ``library``, both in the program's folder.

    Args:
        model: the sparse file, which is read for its inputs.
        sizes: of dynamic dimensions by name; 1 for the others.
    """
    lines = [
        f"    {json.dumps(value.name)}: numpy.zeros({_shape(value, sizes)}, {json.dumps(_type(value)[0])}),"
        for value in _inputs(_graph(model))
    ]
    return _PYTHON.format(library=json.dumps(library), model=json.dumps(model.name), feed="\n".join(lines))


def c(model: Path, library: str, sizes: Mapping[str, int], name: str = "example.c") -> str:
    """Return a C program that runs ``model`` with ``library``, both in the folder it is run in; ``name``: its own."""
    graph = _graph(model)
    inputs = _inputs(graph)
    data, feed = [], []
    for number, value in enumerate(inputs):
        shape, (_, kind, constant) = _shape(value, sizes), _type(value)
        data.append(f"static {kind} data{number}[{max(1, math.prod(shape))}];")
        data.append(f"static const int64_t shape{number}[] = {{{', '.join(map(str, shape)) or 0}}};")
        feed.append(
            f"  check(ort->CreateTensorWithDataAsOrtValue(cpu, data{number}, sizeof data{number}, shape{number}, "
            f"{len(shape)},\n        ONNX_TENSOR_ELEMENT_DATA_TYPE_{constant}, &fed[{number}]));"
        )
    return _C.format(
        name=name,
        library=json.dumps(f"./{library}"),
        model=json.dumps(model.name),
        inputs=", ".join(json.dumps(value.name) for value in inputs),
        output=json.dumps(graph.output[0].name),
        type=_type(graph.output[0])[1],
        count=len(inputs),
        data="\n".join(data),
        feed="\n".join(feed),
    )


def _graph(model: Path) -> onnx.GraphProto:
    import onnx

    return onnx.load(model, load_external_data=False).graph


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """What has to be fed: files of old versions list their weights as inputs, too."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _shape(value: onnx.ValueInfoProto, sizes: Mapping[str, int]) -> list[int]:
    dimensions = value.type.tensor_type.shape.dim
    return [size.dim_value if size.HasField("dim_value") else sizes.get(size.dim_param, 1) for size in dimensions]


def _type(value: onnx.ValueInfoProto) -> tuple[str, str, str]:
    return _TYPES[value.type.tensor_type.elem_type]
