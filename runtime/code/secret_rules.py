"""What looks like a secret: names of files that keep one, and lines that hold a key, a token or a password.

Rules of thumb that rather leave out too much: known forms of keys, key blocks, passwords given to names that say so or
in addresses, and long tokens without the rhythm of words. Whoever shows results names files and counts, never a line.
Knows no files and no languages.
"""

from __future__ import annotations

import math
import re
from collections import Counter

_FILES = re.compile(
    r"\.env(\.(?!example$|sample$|template$|dist$).*)?$|.*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc|gpg|tfvars)$"
    r"|id_(rsa|dsa|ecdsa|ed25519)$|[._]netrc$|\.pypirc$|\.npmrc$|\.htpasswd$|\.pgpass$|\.git-credentials$"
    r"|(aws_?)?credentials(\.(json|ya?ml|toml|ini|py))?$|secrets?\.(json|ya?ml|toml|ini|cfg|env|py)$"
    r"|(local_settings|settings_local)\.py$|.*service[_-]?account.*\.json$",
    re.I,
)
_KEYS = re.compile(
    r"\b(?:AKIA|ASIA|AGPA|AROA)[A-Z0-9]{16}\b"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{22,}|\bglpat-[\w-]{20}"
    r"|\bxox[abeoprs]-[\w-]{10,}|hooks\.slack\.com/services/\w+"
    r"|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}"  # Google
    r"|\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}"
    r"|\bnpm_[A-Za-z0-9]{36}|\bpypi-[\w-]{50,}|\bdop_v1_[a-f0-9]{64}|\bSG\.[\w-]{16,}\.[\w-]{16,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JSON Web Token
    r"|AccountKey=[A-Za-z0-9+/=]{40,}|\b[0-9]{8,10}:AA[\w-]{33}\b"
)
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|PGP MESSAGE|CERTIFICATE)[A-Z ]*-----")
_END = re.compile(r"-----END [A-Z0-9 ]+-----")
_NAMED = re.compile(
    r"(?i)(?:passw(?:or)?d|passphrase|passwd|pwd|secret|token|api_?key|auth_?key|access_?key|private_?key|credential)s?"
    r"[\"']?\]?\s*(?:=|:|=>)\s*[bru]{0,2}[\"']([^\"'\s]{8,})[\"']"
)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\"']{1,80}:([^\s/@\"']{4,})@")
_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{24,}")
_HEX = re.compile(r"[0-9a-fA-F]{32,}\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_WORDS = re.compile(r"[A-Za-z][a-z]{3,}")
_PLACEHOLDER = re.compile(r"[{}<>$%*]|^(x+|\.+|-+)$|example|changeme|placeholder|your[_-]", re.I)


def is_secret_file(name: str) -> bool:
    """Whether a file of this name exists to keep a secret: keys, .env, credentials. Examples of .env are none."""
    return bool(_FILES.match(name))


def secret_lines(text: str) -> list[int]:
    """Numbers, from 0, of the lines that look like holding a secret. A key block counts from its first line to its
    end, and to the end of the text where it has none."""
    found, in_block = [], False
    for n, line in enumerate(text.split("\n")):
        in_block = in_block or bool(_BEGIN.search(line))
        if in_block or _is_secret(line):
            found.append(n)
        if in_block and _END.search(line):
            in_block = False
    return found


def without_secrets(text: str) -> tuple[str, int]:
    """(text without the lines of `secret_lines`, their number)."""
    secret = set(secret_lines(text))
    if not secret:
        return text, 0
    return "\n".join(line for n, line in enumerate(text.split("\n")) if n not in secret), len(secret)


def _is_secret(line: str) -> bool:
    if _KEYS.search(line):
        return True
    if any(_is_password(value) for pattern in (_NAMED, _ADDRESS) for value in pattern.findall(line)):
        return True
    return any(is_random(token) for token in _TOKEN.findall(line))


def _is_password(value: str) -> bool:
    """Not a word or a dotted name, not a place to fill in."""
    if _PLACEHOLDER.search(value):
        return False
    words = value.replace(".", "_").replace("-", "_")
    return any(c.isdigit() for c in value) or not words.isidentifier()


def is_random(token: str) -> bool:
    """Whether a token of 24 characters or more looks drawn at random: many symbols, few words, and its kinds (upper
    case, lower case, digit) change far more often than in names and paths. A UUID is no secret."""
    if _HEX.match(token):
        return entropy(token) >= 3.0 and any(c.isdigit() for c in token) and any(c.isalpha() for c in token)
    kinds = ["A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else "" for c in token]
    kinds = [kind for kind in kinds if kind]
    in_words = sum(map(len, _WORDS.findall(token)))
    if len(kinds) < 20 or len(set(kinds)) < 2 or in_words > 0.6 * len(kinds) or _UUID.match(token):
        return False
    changes = sum(a != b for a, b in zip(kinds, kinds[1:], strict=False)) / (len(kinds) - 1)
    return changes >= (0.35 if "0" in kinds else 0.45) and entropy(token) >= 3.7


def entropy(text: str) -> float:
    """Bits per character under the text's own frequencies (Shannon 1948)."""
    n = len(text)
    return -sum(k / n * math.log2(k / n) for k in Counter(text).values()) if n else 0.0
