"""CharacterMap: the normaliser table of SentencePiece (a double-array trie of byte strings with their replacements).

Two ways of applying one table: by the longest match, as SentencePiece itself does, and by clusters of characters, as
the Hugging Face library does (`Precompiled`). The table is hostile input: every index in it is checked. Knows no file
around the table.
"""

import re
import struct
import unicodedata

MAX_MAP = 16 << 20  # bytes of a table; that of NFKC has 240 kB
MAX_KEY = 256  # bytes of one key or replacement in it


class MapError(ValueError):
    """The table is broken; the message says how."""


class CharacterMap:
    """Replacement by a double-array trie (darts-clone) over UTF-8, as SentencePiece compiles it.

    units: the trie; strings: offset -> replacement.
    """

    def __init__(self, units: tuple[int, ...], strings: dict[int, bytes]):
        self._units, self._strings = units, strings
        alone = [c for c in range(128) if self._matches(bytes([c]), 0)]
        pairs = any(n == 2 for c in range(128) for d in range(128) for _, n in self._matches(bytes([c, d]), 0)[-1:])
        # where something may begin that the table changes: ASCII stays as it is unless it says otherwise
        keys = b"".join(re.escape(bytes([c])) for c in alone) if not pairs else b"\\x00-\\x7f"
        self._places = re.compile(
            b"[" + keys + b"]|[\\x00-\\x7f]?[\\x80-\\xff]" if keys else b"[\\x00-\\x7f]?[\\x80-\\xff]"
        )

    def apply(self, text: str) -> str:
        """Every longest match replaced, as SentencePiece does."""
        data = text.encode("utf-8", "surrogatepass")
        out, i = [], 0
        while i < len(data):
            place = self._places.search(data, i)
            if place is None:
                out.append(data[i:])
                break
            out.append(data[i : place.start()])
            i = place.start()
            found = self._matches(data, i)
            if found:
                value, length = found[-1]
                out.append(self._strings[value])
            else:
                length = 1 if data[i] < 0x80 else 2 if data[i] < 0xE0 else 3 if data[i] < 0xF0 else 4
                out.append(data[i : i + length])
            i += length
        return b"".join(out).decode("utf-8", "surrogatepass")

    def apply_to_clusters(self, text: str) -> str:
        """What a user sees as one character is replaced as a whole by the shortest match in it, if it has fewer than
        six bytes, else each of its characters: that is how the Hugging Face library reads the table."""
        out = []
        for cluster in _clusters(text):
            data = cluster.encode("utf-8", "surrogatepass")
            found = self._matches(data, 0) if len(data) < 6 else []
            if found:
                out.append(self._strings[found[0][0]])
            elif len(cluster) == 1:
                out.append(data)
            else:
                for c in cluster:
                    one = c.encode("utf-8", "surrogatepass")
                    found = self._matches(one, 0)
                    out.append(self._strings[found[0][0]] if found else one)
        return b"".join(out).decode("utf-8", "surrogatepass")

    def _matches(self, data: bytes, start: int) -> list[tuple[int, int]]:
        """(offset of the replacement, bytes matched) of the keys at start, the shortest first."""
        units, found = self._units, []
        at = _offset(units[0])
        for i in range(start, min(len(data), start + MAX_KEY)):
            at ^= data[i]
            if at >= len(units) or units[at] & 0x800000FF != data[i]:
                break
            unit = units[at]
            at ^= _offset(unit)
            # only at the end of a character, so that a lying trie cannot cut one in two
            if (
                unit >> 8 & 1
                and at < len(units)
                and units[at] >> 31
                and (i + 1 == len(data) or data[i + 1] & 0xC0 != 0x80)
            ):
                found.append((units[at] & 0x7FFFFFFF, i + 1 - start))
        return found


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 512) >> 6)


def parse(raw: object) -> CharacterMap | None:
    """The table of these bytes; None for none. Raises MapError for anything wrong in it."""
    if not raw:
        return None
    if not isinstance(raw, bytes) or not 8 <= len(raw) <= MAX_MAP:
        raise MapError(f"the character map must have 8 to {MAX_MAP} bytes")
    size = struct.unpack_from("<I", raw)[0]
    if size < 4 or size % 4 or size > len(raw) - 4:
        raise MapError("the trie of the character map is longer than the map or not of 32-bit units")
    strings, at = {}, 0
    for part in raw[4 + size :].split(b"\0"):
        if len(part) > MAX_KEY:
            raise MapError(f"a replacement in the character map has {len(part)} bytes, the limit is {MAX_KEY}")
        strings[at] = part
        at += len(part) + 1
    try:
        raw[4 + size :].decode()
    except UnicodeDecodeError:
        raise MapError("a replacement in the character map is not UTF-8") from None
    units = struct.unpack_from(f"<{size // 4}I", raw, 4)
    if any(unit >> 31 and unit & 0x7FFFFFFF not in strings for unit in units):
        raise MapError("the trie of the character map points between replacements")
    return CharacterMap(units, strings)


def _clusters(text: str) -> list[str]:
    """Extended grapheme clusters (UAX 29) as far as they can have fewer than six bytes: a character with the marks
    after it, and \\r\\n."""
    out: list[str] = []
    for c in text:
        if out and (
            _extends(c) and out[-1][-1] not in "\r\n" and not _control(out[-1][-1]) or c == "\n" and out[-1] == "\r"
        ):
            out[-1] += c
        else:
            out.append(c)
    return out


def _control(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in "\u200c\u200d"


def _extends(c: str) -> bool:
    if c < "\u0300":
        return False
    return unicodedata.category(c) in ("Mn", "Me", "Mc") or c in "\u200c\u200d\uff9e\uff9f\u0e33\u0eb3"
