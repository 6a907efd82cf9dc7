"""The printable character that stands for each byte in byte-level vocabularies (GPT-2), and the names of bytes where
characters fall back to them. Knows no vocabulary."""


def byte_alphabet() -> list[str]:
    """The printable character of each byte (GPT-2): printable Latin-1 stands for itself, the rest for U+0100 and
    up."""
    keep = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(b) if b in keep else chr(next(spare)) for b in range(256)]


BYTE_TO_CHAR = byte_alphabet()
CHAR_TO_BYTE = {c: b for b, c in enumerate(BYTE_TO_CHAR)}
BYTE_PIECES = [f"<0x{b:02X}>" for b in range(256)]  # names of the bytes where characters fall back to them


def symbol_bytes(symbol: str) -> bytes:
    """Bytes of a vocabulary text: through the byte alphabet, or its UTF-8 if a character is outside of that."""
    try:
        return bytes([CHAR_TO_BYTE[c] for c in symbol])
    except KeyError:
        return symbol.encode("utf-8", "surrogatepass")
