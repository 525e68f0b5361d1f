"""Markdown that says what it is given and does nothing else: no HTML, no links, no mentions, no table torn apart.

Source of the rules: CommonMark 0.31 (sections 2.4, 6.1) and GitHub's own additions (tables, autolinks, mentions).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_SPECIAL = re.compile(r"([\\`*_{}\[\]#!|<>~&$])")
_STARTS_BLOCK = re.compile(r"^(\d{0,9})([-+=.)])(?=\s|$|[-=])")
_REACHES_OUT = re.compile(r"(?i)@|#|\bgh-|https?:|ftps?:|mailto:|xmpp:|www\.")
_JOINER = "\N{WORD JOINER}"
_LONGEST = 300


def text(value: object, longest: int = _LONGEST) -> str:
    """Return plain text as Markdown of one line; characters that cannot be seen become U+FFFD."""
    held = _REACHES_OUT.sub(_held, _shortened(_plain(value), longest))
    return _STARTS_BLOCK.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", held))


def code(value: object, longest: int = 120) -> str:
    """Return a name as a code span, in which nothing has a meaning; safe in a table."""
    plain = _shortened(_plain(value), longest).strip() or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    pad = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{pad}{_in_table(plain)}{pad}{fence}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown cells; a head ending in ``|n`` makes its column numeric."""
    names = [head.removesuffix("|n") for head in heads]
    rule = ["---:" if head.endswith("|n") else "---" for head in heads]
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, rule, *rows))


def folded(summary: str, inside: str) -> str:
    """Return a part that opens on a click; ``summary`` is ours and plain, ``inside`` is Markdown."""
    return f"<details>\n<summary>{summary}</summary>\n\n{inside}\n\n</details>"


def _plain(value: object) -> str:
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(value).split()))


def _shortened(plain: str, longest: int) -> str:
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _in_table(plain: str) -> str:
    """A pipe ends a cell even in code, unless it is escaped; a backslash before it would undo that."""
    return plain.replace("\\|", "\\\N{WORD JOINER}|").replace("|", "\\|")


def _held(found: re.Match[str]) -> str:
    """Break what GitHub would turn into a mention, a reference to an issue or commit, or a link."""
    said = found[0]
    return f"{said}{_JOINER}" if len(said) == 1 else f"{said[:2]}{_JOINER}{said[2:]}"
