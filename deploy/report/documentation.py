"""The report's format written out from its classes: ``python -m deploy.report.documentation docs``.

Writes ``report.md`` for people and ``report.schema.json`` (JSON Schema, draft 2020-12) for machines.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from compress.files import write_text
from deploy.report.schema import VERSION, Report

PAGE, SCHEMA = "report.md", "report.schema.json"

_INTRODUCTION = f"""# The report, version {VERSION}

*Written by `python -m deploy.report.documentation docs` from the classes in `deploy/`; a test holds the two together.*

`compress report`, `profile`, `compatibility` and `why` write one and the same JSON document with `-o report.json`; the
HTML page and the Markdown text are renderings of it, and `compress report --from report.json -o report.html` makes them
later, without measuring. [`report.schema.json`]({SCHEMA}) is the same description as a JSON Schema.

- The first key is `version`. A tool reads reports of its own version and of all before it (`deploy.report.read_json`);
  a newer report is refused, and so are keys that a version does not know: a reader never guesses.
- A figure that is not a finite number is the string `"NaN"`, `"Infinity"` or `"-Infinity"`, for JSON has no numbers for
  them.
- What is absent says why: `missing` maps a section to the reason.
- Times are in milliseconds, sizes in bytes, shares between 0 and 1, unless a field says otherwise.

| version | what changed |
|---|---|
| 1 | first |
| 2 | `points`, `failures`, `matrix`, `why`, `search`, `spaces`; profiles: `p95`, `operators`, `sensors`, `target` |
"""


class _Schema(GenerateJsonSchema):
    """JSON Schema of what is really written: numbers that are not finite are strings."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a report."""
    made = Report.model_json_schema(schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def page() -> str:
    """Return the description of a report as Markdown: a table for every object, in the order of their use."""
    whole = schema()
    objects = {"Report": whole, **{name: whole["$defs"][name] for name in _order(whole)}}
    return "\n".join([_INTRODUCTION, *(_object(name, each) for name, each in objects.items())])


def write(folder: Path) -> None:
    """Write both files into ``folder``. Raises :class:`compress.errors.InputError` where it cannot be written to."""
    write_text(folder / PAGE, page())
    write_text(folder / SCHEMA, json.dumps(schema(), indent=2) + "\n")


def _order(whole: dict[str, Any]) -> list[str]:
    found: list[str] = []
    waiting = [whole["properties"]]
    while waiting:
        for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(waiting.pop(0))):
            if name not in found:
                found.append(name)
                waiting.append(whole["$defs"][name].get("properties", {}))
    return found


def _object(name: str, described: dict[str, Any]) -> str:
    required = described.get("required", [])
    fields = described.get("properties", {})
    heads = ["key", "value", "default", *(["meaning"] if any(map(_said, fields.values())) else [])]
    rows = [
        [f"`{key}`", _kind(field), "required" if key in required else _default(field), _said(field)][: len(heads)]
        for key, field in fields.items()
    ]
    lines = [f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows]]
    return "\n".join([f"## {name}\n", _plain(described.get("description", "")), "", *lines, ""])


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(each) for each in field["anyOf"] if "enum" not in each))
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{json.dumps(each)}`" for each in field["enum"])
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if field.get("type") == "object":
        inner = field.get("additionalProperties")
        return f"object of {_kind(inner)}" if isinstance(inner, dict) else "object"
    return str(field.get("type", "anything"))


def _default(field: dict[str, Any]) -> str:
    if "default" in field:
        return f"`{json.dumps(field['default'])}`"
    return "empty"


def _said(field: dict[str, Any]) -> str:
    return _plain(field.get("description", "")).replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    """Return a docstring as Markdown: single backticks, no roles."""
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
