"""Unsupported: a component of a tokenizer's file that this engine does not have; and the small checks of such files.

The readers of single components (`normalize.py`, `pretokenize.py`, `decode.py`) raise it or ValueError with the key;
`tokenizer_json.py` makes one FormatError of both.
"""


class Unsupported(ValueError):
    """A component that this engine does not have; the message names it."""


def flag(entry: dict, name: str, default: bool, key: str) -> bool:
    """entry[name], which must be true or false; default where it is missing."""
    value = entry.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"key {key}.{name}: expected true or false")
    return value


def text_of(value: object, key: str, most: int) -> str:
    """The value, which must be a string of at most `most` characters."""
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"key {key}: expected a string of at most {most} characters")
    return value
