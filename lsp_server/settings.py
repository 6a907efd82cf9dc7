"""The settings that an editor may send (section `codehearth`), checked value by value.

A wrong value is dropped with a line of explanation and the value before stays: a typo in somebody's settings.json must
not silence the server. Immutable; the session replaces the whole object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

MOST_TOKENS = 512
MOST_THREADS = 256
MOST_DELAY_MS = 5000


@dataclass(frozen=True)
class Settings:
    """Names as in the editor: `codehearth.enable`, `codehearth.maxTokens` and so on."""

    enable: bool = True
    languages: tuple[str, ...] = ("python",)
    multiline: bool = False
    max_tokens: int = 64
    debounce: int = 0  # milliseconds that an automatic request waits for the next keystroke
    model: str = ""  # folder or name; empty: the model that comes with the program
    threads: int = 0  # 0: the engine decides
    keep_caches: bool = False  # what the model has read of the documents stays on disk, for the next start

    def allows(self, language: str) -> bool:
        return self.enable and (language in self.languages or "*" in self.languages)


def read_settings(before: Settings, values: Any) -> tuple[Settings, list[str]]:
    """`before` with the known values of a JSON object; the complaints are for the log and the user.

    Unknown names are passed over: the extension has settings of its own in the same section.
    """
    if not isinstance(values, Mapping):
        return before, [] if values is None else ["the settings are not a JSON object"]
    complaints: list[str] = []
    changed: dict[str, Any] = {}
    for field in fields(Settings):
        key = _camel(field.name)
        value = values.get(key)
        if value is None:
            continue
        try:
            changed[field.name] = _CHECKS[field.name](value)
        except ValueError as error:
            complaints.append(f"codehearth.{key}: {error}")
    return replace(before, **changed), complaints


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _integer(low: int, high: int):
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def _languages(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and len(item) <= 64 for item in value):
        raise ValueError("must be a list of language identifiers")
    return tuple(value)


def _model(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > 4096:
        raise ValueError("must be a folder or the name of a model")
    return value.strip()


_CHECKS = {
    "enable": _bool,
    "languages": _languages,
    "multiline": _bool,
    "max_tokens": _integer(1, MOST_TOKENS),
    "debounce": _integer(0, MOST_DELAY_MS),
    "model": _model,
    "threads": _integer(0, MOST_THREADS),
    "keep_caches": _bool,
}
