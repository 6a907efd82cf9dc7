"""`python -m runtime.text [LINE]`: one line in the pieces of five vocabularies, four of them trained on the spot.

They learn from modules of the standard library of the Python that runs this; the fifth is that of the model that comes
with the package. Every line comes back exactly from its ids: that is checked. Knows no models.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from runtime.text import load_tokenizer, train_bpe, train_characters, train_unigram, train_words
from runtime.text.base import BaseTokenizer

LINE = "    for article in self.articles.values():"
MODULES = 30  # the first ones by name, to learn from; the next ones are not learnt from, but counted
ENTRIES = 2048
KINDS = {"characters": train_characters, "words": train_words, "BPE": train_bpe, "Unigram": train_unigram}
OWN = Path(__file__).resolve().parents[1] / "embedded" / "tokenizer.json"


def library() -> tuple[list[str], list[str]]:
    """Texts of some modules of the standard library to learn from, and of others to count tokens in."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))[: MODULES + MODULES // 3]
    texts = [file.read_text(encoding="utf-8") for file in files]
    return texts[:MODULES], texts[MODULES:]


def pieces(tokenizer: BaseTokenizer, line: str) -> list[str]:
    """The text of each token; spaces as ·, part of a character as its bytes. ValueError if ids lose the line."""
    ids = tokenizer.encode(line)
    if tokenizer.decode_bytes(ids) != line.encode("utf-8", "surrogatepass"):
        raise ValueError(f"{type(tokenizer).__name__} does not give the line back")
    shown = []
    for i in ids:
        data = tokenizer.token_bytes(i)
        try:
            shown.append(data.decode().replace(" ", "·").replace("\n", "⏎"))
        except UnicodeDecodeError:
            shown.append(data.hex(" "))
    return shown


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.text", description=__doc__.splitlines()[0])
    parser.add_argument("line", nargs="?", default=LINE, help="the text to cut (default: a line of Python)")
    line = parser.parse_args(argv).line
    learn, count = library()
    sizes = [sum(len(text.encode()) for text in texts) for texts in (learn, count)]
    print(f"learnt from {sizes[0] / 1e6:.1f} MB of the standard library, counted on {sizes[1] / 1e6:.1f} MB of it\n")
    for name, train in [*KINDS.items(), ("the model's own", None)]:
        began = time.perf_counter()
        tokenizer = train(learn, ENTRIES) if train else load_tokenizer(OWN)
        seconds = f"learnt in {time.perf_counter() - began:.1f} s" if train else "read from its file"
        per_token = sizes[1] / sum(len(tokenizer.encode(text)) for text in count)
        cut = pieces(tokenizer, line)
        print(f"{name}: {tokenizer.vocab_size} entries, {seconds}, {per_token:.2f} bytes a token; {len(cut)} tokens:")
        print("  " + "│".join(cut) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
