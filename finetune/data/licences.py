"""Which licence a package declares, as an SPDX expression, and whether its text may be trained on.

Reads what an installed distribution says of itself, in this order: `License-Expression` (PEP 639), the trove
classifiers, the free-text field `License`. The allow-list is `licences.txt`. What a package does not declare counts as
unknown, never as permitted. Knows nothing about files.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

UNKNOWN = "unknown"
OWN = "LicenseRef-Own"  # code of whoever builds the corpus
LIST = Path(__file__).parent / "licences.txt"

# Trove classifiers (the last part of "License :: OSI Approved :: ...") and the SPDX id they stand for.
_CLASSIFIERS = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "CMU License (MIT-CMU)": "MIT-CMU",
    "BSD License": "LicenseRef-BSD",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Python License (CNRI Python License)": "Python-2.0",
    "ISC License (ISCL)": "ISC",
    "zlib/libpng License": "Zlib",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
}
# Free text, first match wins; copyleft stands first so that "GPL or MIT-like" prose is never taken for MIT.
_PROSE = (
    (r"\b[AL]?GPL|general public|mozilla|\bMPL\b|eclipse|\bEUPL\b|creative commons|\bCC[- ]BY|proprietary", None),
    (r"\bMIT[- ]0\b", "MIT-0"),
    (r"\bMIT\b|^expat\b|permission is hereby granted, free of charge", "MIT"),
    (r"apache.{0,24}2(\.0)?\b|^apache$|^apache (software )?license$", "Apache-2.0"),
    (r"\b0BSD\b", "0BSD"),
    (r"\bBSD[- ]?3|\b(3|three)[- ]clause|new bsd|modified bsd", "BSD-3-Clause"),
    (r"\bBSD[- ]?2|\b(2|two)[- ]clause|simplified bsd", "BSD-2-Clause"),
    (r"\bBSD\b|redistribution and use in source and binary forms", "LicenseRef-BSD"),
    (r"\bPSF|python software foundation", "PSF-2.0"),
    (r"\bISC\b", "ISC"),
    (r"\bzlib\b", "Zlib"),
    (r"\bunlicense\b", "Unlicense"),
)


@cache
def allowed() -> frozenset[str]:
    """The SPDX ids of `licences.txt`, in lower case."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(name.lower() for line in lines if (name := line.partition("#")[0].strip()))


def declared(expression: str | None, classifiers: Iterable[str], prose: str | None) -> str:
    """The licence as an SPDX expression, or "unknown". Several classifiers without an expression mean all of them."""
    if expression and expression.strip():
        return " ".join(expression.split())
    names = {c.rpartition("::")[2].strip() for c in classifiers if c.startswith("License ::")} - {"OSI Approved"}
    if names:
        return " AND ".join(sorted(_CLASSIFIERS.get(name) or _reference(name) for name in names))
    text = " ".join((prose or "").split())
    if permitted(text):
        return text  # an SPDX expression in the old field
    for pattern, spdx in _PROSE:
        if re.search(pattern, text[:400], re.I):
            return spdx or (text[:60] if len(text) <= 60 else UNKNOWN)
    return UNKNOWN


def _reference(name: str) -> str:
    """SPDX's form for a licence that is not on its list."""
    return "LicenseRef-" + re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def permitted(expression: str) -> bool:
    """Whether an SPDX expression lets us train: each AND part must be on the list, of an OR one part is enough.

    An expression that cannot be read, or that holds an exception (WITH), is not permitted.
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression)
    try:
        value, rest = _either(tokens)
    except (IndexError, RecursionError):
        return False
    return value and not rest


def _either(tokens: list[str]) -> tuple[bool, list[str]]:
    value, rest = _both(tokens)
    while rest and rest[0].upper() == "OR":
        other, rest = _both(rest[1:])
        value = value or other
    return value, rest


def _both(tokens: list[str]) -> tuple[bool, list[str]]:
    value, rest = _one(tokens)
    while rest and rest[0].upper() == "AND":
        other, rest = _one(rest[1:])
        value = value and other
    return value, rest


def _one(tokens: list[str]) -> tuple[bool, list[str]]:
    if tokens[0] == "(":
        value, rest = _either(tokens[1:])
        return (value, rest[1:]) if rest[:1] == [")"] else (False, rest)
    return tokens[0].lower() in allowed(), tokens[1:]
