"""Texts of every sort for comparing tokenizers: code in six languages, CJK, emoji, combining marks, control characters.

Python is the running interpreter's library, C what headers the machine has; the other languages are written here. The
same seed gives the same texts on the same machine. Knows no tokenizer.
"""

import os
import random
from pathlib import Path

WORDS = """index value node buffer count total parser request response handler token stream config result
error user session matrix vector length width offset cursor branch commit merge render
layout état größe naïve façade señor""".split()
MARKS = ["\u0301", "\u0308", "\u0323", "\u0327", "\u20dd", "\u0941", "\u093f", "\u0e31", "\u05b8", "\u064b"]
EMOJI = ["😀", "👩‍💻", "🏳️‍🌈", "👍🏽", "🇩🇪", "✅", "🧑‍🤝‍🧑", "☃️", "1️⃣", "🫠"]
ODD = [
    "\0",
    "\x01",
    "\x1b[0m",
    "\x7f",
    "\x85",
    "\xa0",
    "\xad",
    "\u200b",
    "\u200d",
    "\u2028",
    "\ufeff",
    "\ufffd",
    "\ue000",
]
SCRIPTS = [
    (0x4E00, 0x9FA5), (0x3041, 0x30FE), (0xAC00, 0xD7A3), (0x0410, 0x044F), (0x0391, 0x03C9), (0x0621, 0x064A),
    (0x05D0, 0x05EA), (0x0905, 0x0939), (0x0E01, 0x0E30), (0x1100, 0x1112), (0x3105, 0x312F), (0xFF01, 0xFF5E),
    (0x20000, 0x20100), (0x1D400, 0x1D4FF), (0x2150, 0x218B), (0x00C0, 0x024F),
]  # fmt: skip
LANGUAGES = {
    "js": "export async function {a}({b}, {c} = {n}) {{\n  const {d} = await fetch(`/api/${{{b}}}`);\n"
    "  return {d}?.{c} ?? '{e}';\n}}\n",
    "go": "func ({a} *{D}) {B}({c} []{d}) (int, error) {{\n\tfor i, v := range {c} {{\n\t\tif v != {n} {{\n"
    "\t\t\treturn i, nil\n\t\t}}\n\t}}\n\treturn -1, fmt.Errorf(\"{e} %d\", {n})\n}}\n",
    "rust": "impl<'a> {D}<'a> {{\n    pub fn {a}(&mut self, {b}: &'a str) -> Result<u{n}, Box<dyn Error>> {{\n"
    "        let {c} = {b}.chars().filter(|c| !c.is_whitespace()).count();\n        Ok({c} as u32)\n    }}\n}}\n",
    "java": "public final class {D} {{\n    private static final long {A} = {n}L;\n\n    @Override\n"
    "    public String {a}(int {b}) {{\n        return \"{e}\\t\" + {b} * {A};  // {c} isn't {d}'s\n    }}\n}}\n",
    "c": "static int {a}(const uint8_t *{b}, size_t {c}) {{\n#ifdef {A}\n\treturn {b}[{c} - 1] ^ 0x{n}u;\n#else\n"
    "\treturn -{n};\n#endif\n}}\n",
    "markdown": "## {D}: {e}\n\n* {a} — {b} don't, WE'LL, I'd “{c}”…\n1. `{d}`\t|{n}|{n}.{n}|\r\n\r\n",
}  # fmt: skip


def code(rng: random.Random, language: str) -> str:
    names = {k: rng.choice(WORDS) for k in "abcde"}
    names |= {"D": rng.choice(WORDS).title(), "B": rng.choice(WORDS).capitalize(), "A": rng.choice(WORDS).upper()}
    return LANGUAGES[language].format(n=rng.randrange(10 ** rng.randint(1, 7)), **names)


def foreign(rng: random.Random) -> str:
    low, high = rng.choice(SCRIPTS)
    return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 40)))


def marked(rng: random.Random) -> str:
    return "".join(rng.choice("aeounAEकกא가") + "".join(rng.choices(MARKS, k=rng.randint(0, 3))) for _ in range(9))


def odd(rng: random.Random) -> str:
    return "".join(rng.choice([*ODD, " ", "  ", "\n", "\t", "\r\n", "a", "Ab", "7"]) for _ in range(rng.randint(1, 30)))


def anything(rng: random.Random) -> str:
    found = (rng.choice([rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x20000)])
             for _ in range(rng.randint(1, 20)))  # fmt: skip
    return "".join(chr(c) for c in found if not 0xD800 <= c < 0xE000)


def files() -> list[Path]:
    """Python and C files of this machine, in an order that does not depend on the file system."""
    library = sorted(Path(os.__file__).parent.glob("*.py")) + sorted(Path(os.__file__).parent.glob("*/*.py"))
    return library + sorted(Path("/usr/include").glob("*.h")) + sorted(Path("/usr/include/linux").glob("*.h"))


def documents(seed: int, size: int) -> list[str]:
    """Texts with about `size` bytes in all: a third is of files, the rest mixes everything."""
    rng = random.Random(seed)
    makers = [*(lambda r, name=name: code(r, name) for name in LANGUAGES), foreign, marked, odd, anything]
    makers += [lambda r: r.choice(EMOJI) * r.randint(1, 3), lambda r: " ".join(r.choices(WORDS, k=9))]
    known, out, total = files(), [], 0
    while total < size:
        if rng.random() < 0.1 and known:
            text = rng.choice(known).read_text(encoding="utf-8", errors="replace")
            at = rng.randrange(max(1, len(text) - 3000))
            text = text[at : at + rng.randint(100, 12000)]
        else:
            text = rng.choice(["", " ", "\n"]).join(rng.choice(makers)(rng) for _ in range(rng.randint(1, 30)))
        out.append(text)
        total += len(text.encode())
    return out
