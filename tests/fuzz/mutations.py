"""Seeded mutations of bytes, JSON, protobuf and GGUF: broken as files break, and as an attacker breaks them.

Every function takes a random.Random and returns new bytes; the same generator state gives the same bytes. Knows the
encodings, not what the files mean.
"""

import copy
import json
import struct

EDGES = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**63,
    2**64 - 1,
]
TEXTS = [
    "",
    "a",
    " ",
    "\0",
    "\ud800",
    "\udfff\ud800",
    "é",
    "深",
    "Ġ",
    "▁",
    "<0x0A>",
    "<|x|>",
    "a" * 5000,
    "BPE",
    "Unigram",
]


def of_bytes(rng, data: bytes) -> bytes:
    """One to four of: a bit, a byte, a number at the edge of its type, a range cut, doubled, moved or made noise."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        length = min(len(out) - at, rng.choice([1, 2, 4, 8, 16, 100, 1000]))
        way = rng.randrange(8)
        if way == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif way == 1 and at < len(out):
            out[at] = rng.choice([0, 1, 0x22, 0x2C, 0x5B, 0x7B, 0x7D, 0x80, 0xFF, rng.randrange(256)])
        elif way == 2:
            width = rng.choice([2, 4, 8])
            out[at : at + width] = (rng.choice(EDGES) % (1 << 8 * width)).to_bytes(width, rng.choice(["little", "big"]))
        elif way == 3:
            del out[at : at + length]
        elif way == 4:
            out[at:at] = out[at : at + length] * rng.choice([1, 1, 2, 50])
        elif way == 5:
            part = out[at : at + length]
            del out[at : at + length]
            to = rng.randrange(len(out) + 1)
            out[to:to] = part
        elif way == 6:
            out[at : at + length] = rng.randbytes(length)
        elif rng.random() < 0.3:
            del out[at:]
    return bytes(out)


def _value(rng, root):
    """Something that does not belong there."""
    kind = rng.randrange(9)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([-1, 0, 1, 2, 255, 256, 299, 300, *EDGES, -(2**63)])
    if kind == 2:
        return rng.choice([0.5, -0.0, -1.5, 1e308, 1e-308, 5e-324, 1e9, -1e9, -1e30])
    if kind == 3:
        return rng.choice(TEXTS)
    if kind == 4:
        return rng.choice([[], {}, [[]], [{}], {"": None}, [None] * 50, {"type": "Sequence"}, {"type": None}])
    if kind == 5:
        deep = rng.choice([[], {}])
        for _ in range(rng.choice([3, 10, 30, 200])):
            deep = [deep] if rng.random() < 0.5 else {"a": deep}
        return deep
    place = _place(rng, root)  # a part of the same file, somewhere else
    return copy.deepcopy(place[0][place[1]]) if place else 0


def _place(rng, root):
    """(container, key) of some value below root, reached by random steps; None if root has none."""
    at, found = root, None
    while isinstance(at, (dict, list)) and at:
        key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
        found = (at, key)
        at = at[key]
        if rng.random() < 0.25:
            break
    return found


def of_json(rng, root, encode=None) -> bytes:
    """One to three values replaced, removed, doubled, renamed or exchanged; now and then a key twice or bad UTF-8."""
    root = copy.deepcopy(root)
    for _ in range(rng.randint(1, 3)):
        place = _place(rng, root)
        if place is None:
            break
        box, key = place
        way = rng.randrange(7)
        if way <= 2:
            box[key] = _value(rng, root)
        elif way == 3:
            del box[key]
        elif way == 4 and isinstance(box, dict):
            box[rng.choice([*TEXTS, "type", "__metadata__", str(key) + "x"])] = box.pop(key)
        elif way == 4:
            box.insert(key, copy.deepcopy(box[key]))
        elif way == 5 and isinstance(box, dict):
            other = rng.choice(list(box))
            box[key], box[other] = box[other], box[key]
        elif way == 5:
            rng.shuffle(box)
        elif isinstance(box[key], bool):
            box[key] = not box[key]
        elif isinstance(box[key], int):
            box[key] += rng.choice([-1, 1, 8, 1 << 31, 1 << 62])
        elif isinstance(box[key], str):
            text = box[key]
            cut = rng.randrange(len(text) + 1)
            box[key] = text[:cut] + rng.choice(TEXTS) + text[cut:]
    text = json.dumps(root, ensure_ascii=rng.random() < 0.5, separators=(",", ":"))
    if rng.random() < 0.05 and '"' in text:  # a key twice
        cut = text.index("{") + 1
        text = text[:cut] + '"added_tokens":[],' * 2 + text[cut:]
    return text.encode("utf-8", "surrogatepass")


# ---- protobuf -------------------------------------------------------------------------------------------------------
def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """(field number, wire type, value as encoded without key and length) of an honest message."""
    out, at = [], 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        start = at
        if key & 7 == 0:
            number()
        elif key & 7 == 2:
            size = number()
            start, at = at, at + size
        else:
            at += 8 if key & 7 == 1 else 4
        out.append((key >> 3, key & 7, data[start:at]))
    return out


def encode(parts: list[tuple[int, int, bytes]]) -> bytes:
    return b"".join(varint(n << 3 | w) + (varint(len(v)) if w == 2 else b"") + v for n, w, v in parts)


def of_protobuf(rng, data: bytes, deeper: bool = True) -> bytes:
    """Fields of the message, or of one inside it, replaced, removed, doubled, moved, of another type or number."""
    parts = fields(data)
    for _ in range(rng.randint(1, 3)):
        if not parts:
            break
        k = rng.randrange(len(parts))
        if rng.random() < 0.3:
            k = max(0, len(parts) - 1 - rng.randrange(3))  # the settings stand at the end
        number, wire, value = parts[k]
        way = rng.randrange(8)
        if way <= 2 and wire == 2 and deeper:
            try:
                parts[k] = (number, wire, of_protobuf(rng, value, False))
            except IndexError:  # a text, not a message
                parts[k] = (number, wire, of_bytes(rng, value))
        elif way == 3:
            del parts[k]
        elif way == 4:
            parts.insert(rng.randrange(len(parts) + 1), parts[k])
        elif way == 5:
            parts[k] = (rng.choice([1, 2, 3, 4, 5, 24, 35, 2**20]), wire, value)
        elif way == 6:
            parts[k] = (number, 0, varint(rng.choice(EDGES)))
        elif wire == 5:
            score = rng.choice([float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 5e-324, -0.0, 1e9, -1e9])
            parts[k] = (number, wire, struct.pack("<f", score))
        elif wire == 2:
            text = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
            parts[k] = (number, wire, rng.choice([text, of_bytes(rng, value)]))
        else:
            parts[k] = (number, 2, b"x")
    out = encode(parts)
    return of_bytes(rng, out) if deeper and rng.random() < 0.1 else out


# ---- GGUF -----------------------------------------------------------------------------------------------------------
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def gguf_numbers(data: bytes) -> list[tuple[int, int]]:
    """(place, width) of every number in the header of an honest GGUF file: counts, lengths, types, dimensions, ..."""
    out, at = [(4, 4), (8, 8), (16, 8)], 24

    def number(width):
        nonlocal at
        out.append((at, width))
        at += width
        return int.from_bytes(data[at - width : at], "little")

    def string():
        nonlocal at
        length = number(8)
        at += length

    def value(kind):
        if kind == 8:
            string()
        elif kind == 9:
            inner = number(4)
            for _ in range(number(8)):
                value(inner)
        else:
            number(_SIZES[kind])

    n_tensors, n_entries = (int.from_bytes(data[k : k + 8], "little") for k in (8, 16))
    for _ in range(n_entries):
        string()
        value(number(4))
    for _ in range(n_tensors):
        string()
        for _ in range(number(4)):
            number(8)
        number(4)
        number(8)
    return out


def of_gguf(rng, data: bytes) -> bytes:
    """One to three numbers of the header at the edges of their types, near their value, or each other's."""
    out = bytearray(data)
    places = gguf_numbers(data)
    for _ in range(rng.randint(1, 3)):
        at, width = rng.choice(places)
        old = int.from_bytes(out[at : at + width], "little")
        way = rng.randrange(4)
        if way == 0:
            new = rng.choice(EDGES)
        elif way == 1:
            new = old + rng.choice([-1, 1, 2, 31, 32, 64, 1 << 16])
        elif way == 2:
            other, size = rng.choice(places)
            new = int.from_bytes(out[other : other + size], "little")
        else:
            new = rng.randrange(48)
        out[at : at + width] = (new % (1 << 8 * width)).to_bytes(width, "little")
    return of_bytes(rng, bytes(out)) if rng.random() < 0.1 else bytes(out)
