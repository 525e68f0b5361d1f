"""What is written about the report's format is what the classes say, and what the tool writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy import report
from deploy.report import documentation

DOCS = Path(__file__).parents[2] / "docs"
HOW = "run: python -m deploy.report.documentation docs"


def conforms(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether ``value`` fits ``schema``: the part of JSON Schema that a report's description uses."""
    if "$ref" in schema:
        return conforms(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        return any(conforms(value, each, whole) for each in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if schema.get("type") == "array":
        return isinstance(value, list) and all(conforms(each, schema["items"], whole) for each in value)
    if schema.get("type") == "object":
        if not isinstance(value, dict):
            return False
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        return set(schema.get("required", [])) <= set(value) and all(
            conforms(each, known[key], whole)
            if key in known
            else others is True or (others is not False and conforms(each, others, whole))
            for key, each in value.items()
        )
    return "type" not in schema or isinstance(value, kinds[schema["type"]])


def test_the_documents_say_what_the_classes_say() -> None:
    assert (DOCS / documentation.PAGE).read_text() == documentation.page(), HOW
    assert json.loads((DOCS / documentation.SCHEMA).read_text()) == documentation.schema(), HOW


def test_a_written_report_fits_the_schema(measured_report: report.Report, tmp_path: Path) -> None:
    """Figures that are not numbers included; and what does not fit is told apart."""
    schema = json.loads((DOCS / documentation.SCHEMA).read_text())
    odd = report.FigureRow(name="loss", unit="", before=float("nan"), after=float("-inf"))
    report.write_json(measured_report.model_copy(update={"figures": [odd]}), tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert conforms(written, schema, schema)
    assert not conforms(written | {"shiny": 1}, schema, schema)
    assert not conforms(written | {"version": 1}, schema, schema)
    assert not conforms({**written, "profiles": [{}]}, schema, schema)


def test_every_object_is_described_and_linked() -> None:
    page = documentation.page()
    for name in documentation.schema()["$defs"]:
        assert f"\n## {name}\n" in page, name
        assert f"(#{name.lower()})" in page, name
