"""Positions and incremental changes, exact to the code unit, in each encoding that a client may ask for."""

import random

import pytest
from connection import connect
from lsprotocol import types as t

from lsp_server.documents import UNITS, Document, join_surrogates
from runtime.code.lines import body, split_lines

WIDTH = {"utf-8": 1, "utf-16": 2, "utf-32": 4}
LETTERS = ["a", "é", "中", "😀", "\r", "\n", "\r\n", "\x0c", "\u2028", "\ud83d", "\ude00", " "]


def coded(text: str, encoding: str) -> bytes:
    return text.encode(UNITS[encoding], "surrogatepass")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_any_sequence_of_changes_gives_the_editors_text(encoding):
    """The oracle edits the flat array of code units; in UTF-16 a change may even cut a pair in two."""
    rng = random.Random(5)
    letters = LETTERS if encoding == "utf-16" else [x for x in LETTERS if x not in ("\ud83d", "\ude00")]
    for _ in range(600):
        text = join_surrogates("".join(rng.choices(letters, k=rng.randint(0, 12))))
        document = Document.open("u", "python", 1, text, encoding)
        for version in range(2, 7):
            flat, size = coded(document.text, encoding), WIDTH[encoding]
            starts = [0]
            for line in document.lines:
                starts.append(starts[-1] + len(coded(line, encoding)) // size)

            def place(document=document):
                line = rng.randrange(len(document.lines))
                text = body(document.lines[line])
                if encoding == "utf-8":  # a client never points into the middle of a character
                    return line, len(text[: rng.randint(0, len(text))].encode())
                return line, rng.randint(0, len(coded(text, encoding)) // WIDTH[encoding])

            start, end = sorted((place(), place()))
            new = "".join(rng.choices(letters, k=rng.randint(0, 4)))
            a, b = ((starts[line] + column) * size for line, column in (start, end))
            raw = flat[:a] + coded(new, encoding) + flat[b:]
            wanted = join_surrogates(raw.decode(UNITS[encoding], "surrogatepass"))
            before = (document, list(document.lines))
            document = document.change(version, start, end, new)
            assert document.text == wanted
            assert list(document.lines) == split_lines(wanted)
            assert list(before[0].lines) == before[1], "an older state must not change"


def test_positions_beyond_the_text_are_its_end():
    document = Document.open("u", "python", 1, "ab\r\ncd", "utf-16")
    assert document.place(0, 99) == (0, 2)
    assert document.place(9, 0) == (1, 2)


def test_a_reversed_range_is_refused():
    with pytest.raises(ValueError, match="before it starts"):
        Document.open("u", "python", 1, "abc\n", "utf-16").change(2, (0, 2), (0, 1), "x")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("encoding", "column"),
    [(t.PositionEncodingKind.Utf16, 14), (t.PositionEncodingKind.Utf8, 19), (t.PositionEncodingKind.Utf32, 13)],
)
async def test_an_offer_behind_an_emoji(tmp_path, encoding, column):
    """`s = "é😀中"; f(` has 13 characters, 14 UTF-16 units and 19 bytes."""
    text = 's = "é😀中"; f()'
    async with connect(tmp_path, encodings=[encoding], FAKE_ANSWER="x).y()\n") as c:
        assert c.capabilities.position_encoding == encoding
        c.open(text)
        assert await c.offer(0, column) == ("x).y()", (0, column), (0, column + 1))
        assert c.notes("start")[0]["prompt"][0] == 's = "é😀中"; f('


@pytest.mark.asyncio
async def test_changes_behind_an_emoji_in_crlf_text(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="1\n") as c:
        c.open("a = '😀'\r\nb = \r\nc = 3\r\n")
        c.edit((0, 5), (0, 7), "x")
        c.edit((1, 4), (1, 4), "2 + ")
        assert await c.offer(1, 8) == ("1", (1, 8), (1, 8))
        assert c.notes("start")[0]["prompt"] == ["a = 'x'\nb = 2 + ", "\nc = 3\n"]


@pytest.mark.asyncio
async def test_half_an_emoji_reaches_no_tokenizer(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="1\n") as c:
        c.open("x = '😀'; y = ")
        c.edit((0, 5), (0, 6), "")
        assert (await c.offer(0, 13))[0] == "1"
        assert c.notes("start")[0]["prompt"][0] == "x = '\ufffd'; y = "
