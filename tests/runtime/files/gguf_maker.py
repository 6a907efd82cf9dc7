"""Makes GGUF files field by field, honest or lying, for tests. Knows nothing of the reader under test."""

import struct


def string(text) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(raw)) + raw


SCALAR = {"u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i")}
SCALAR |= {"f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d")}


def entry(key, kind, value) -> bytes:
    """One metadata entry. kind: as in SCALAR, "string", or [kind] for arrays."""
    out = string(key)
    if isinstance(kind, list):
        number = 8 if kind[0] == "string" else SCALAR[kind[0]][0]
        out += struct.pack("<IIQ", 9, number, len(value))
        for item in value:
            out += string(item) if kind[0] == "string" else struct.pack("<" + SCALAR[kind[0]][1], item)
        return out
    if kind == "string":
        return out + struct.pack("<I", 8) + string(value)
    return out + struct.pack("<I" + SCALAR[kind][1], SCALAR[kind][0], value)


def tensor(name, dims, number, offset) -> bytes:
    """One tensor description; dims columns first."""
    return string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, number, offset)


def gguf(entries, tensors, data, magic=b"GGUF", version=3, n_tensors=None, n_entries=None, alignment=32) -> bytes:
    """A whole file of such entries and tensors."""
    head = magic + struct.pack("<I", version)
    head += struct.pack("<Q", len(tensors) if n_tensors is None else n_tensors)
    head += struct.pack("<Q", len(entries) if n_entries is None else n_entries)
    head += b"".join(entries) + b"".join(tensors)
    return head + b"\0" * (-len(head) % alignment) + data


def entries() -> list[bytes]:
    return [
        entry("general.architecture", "string", "llama"),
        entry("llama.block_count", "u32", 2),
        entry("llama.rope.freq_base", "f32", 10000.0),
        entry("tokenizer.ggml.tokens", ["string"], ["a", "b", "é"]),
        entry("tokenizer.ggml.scores", ["f32"], [0.0, -1.0, -2.5]),
        entry("tokenizer.ggml.add_bos_token", "bool", True),
    ]


def tensors() -> list[bytes]:
    return [
        tensor("token_embd.weight", [64, 3], 8, 0),  # Q8_0: 3 rows of 68 bytes = 204, padded to 224
        tensor("output_norm.weight", [64], 0, 224),  # F32: 256 bytes
        tensor("blk.0.ffn_up.weight", [32, 2], 1, 480),  # F16: 128 bytes
    ]


DATA = bytes(range(256)) * 2 + bytes(96)


def honest() -> bytes:
    return gguf(entries(), tensors(), DATA)
