"""A verdict as JUnit XML, which most CI systems show: one test case for each metric."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from deploy.records import Verdict
from deploy.wording import WORDS

# What XML 1.0 cannot hold, however it is escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(verdict: Verdict) -> str:
    """Return the XML. A metric that failed is a failure; one that is open, or could not be measured, is an error."""
    failed = [finding for finding in verdict.findings if finding.status == "fail"]
    open_ = [finding for finding in verdict.findings if finding.status not in ("pass", "fail")]
    suite = ElementTree.Element(
        "testsuite",
        name="compress gate",
        tests=str(len(verdict.findings)),
        failures=str(len(failed)),
        errors=str(len(open_)),
        time=f"{verdict.seconds:.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("base", f"{verdict.base.name} {verdict.base.sha256}"),
        ("new", f"{verdict.new.name} {verdict.new.sha256}"),
        ("conditions", verdict.conditions.describe()),
        ("exit code", str(verdict.exit_code)),
    ):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    for finding in verdict.findings:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_clean(f"{verdict.base.name} to {verdict.new.name}"),
            name=finding.metric,
            time=f"{verdict.seconds if finding.metric == 'latency' else 0:.3f}",
        )
        if finding.status != "pass":
            kind = "failure" if finding.status == "fail" else "error"
            told = ElementTree.SubElement(case, kind, type=WORDS[finding.status], message=_clean(finding.text))
            told.text = _clean(verdict.text)
        else:
            ElementTree.SubElement(case, "system-out").text = _clean(finding.text)
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    return ElementTree.tostring(whole, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
