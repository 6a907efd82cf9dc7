"""The split patterns: cut as the Hugging Face library cuts, in linear time on hostile texts, refused by name else."""

import random
import time

import pytest

from runtime.text import _text, patterns, pretokenize, regex

ALPHABET = [
    *"aabbAB  \n\r\t1234''stllSve.,!?-_/",
    *"éÉßſK深人가あアー\u0301ह्😀\u200d\xa0\u2028\u3000\0\x1c٣½ǅª\ufeff𝔘€",
]
KNOWN = [
    patterns.GPT2, patterns.LLAMA3, patterns.QWEN2, patterns.QWEN35, patterns.SEED_CODER, patterns.EXAONE_MOE,
    patterns.BAILING, patterns.GPT4O, patterns.TEKKEN, *patterns.YOUTU, patterns.KIMI_K2, patterns.TINY_AYA,
    patterns.JAIS2, patterns.BLOOM, patterns.PUNCTUATION_RUNS, *patterns.SUPERBPE, *patterns.MINICPM5,
    *patterns.DEEPSEEK_V3, *patterns.DEEPSEEK_CODER, *patterns.DEEPSEEK_LLM,
]  # fmt: skip
BEHAVIORS = {
    "Removed": "removed",
    "Isolated": "isolated",
    "MergedWithPrevious": "merged_with_previous",
    "MergedWithNext": "merged_with_next",
    "Contiguous": "contiguous",
}
ATOMS = [
    "a", "b", r"\s", r"\S", r"\d", r"\w", r"\W", r"\p{L}", r"\p{N}", "[ab]", r"[^a\s]", ".", "[a-z&&[^b]]",
    "(?:ab|a)", "(a|b)", r"\n", r"[\r\n]", "'", "(?i:s)", "(?i:k)", r"\P{L}", r"\p{Lu}", r"\p{Ll}", "[[:punct:]]",
    r"\p{Han}", "(?=a)", "(?!b)", "(?<=a)", r"(?<!\s)", r"\b", "^", "$", r"\h", r"\R", "(?>a|ab)",
    r"[^\p{L}]", r"\p{M}", "é", "[é-深]",
    r"\p{^L}", r"\A", r"\z", r"\Z",
]  # fmt: skip
REPEATS = ["", "", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,2}", "{,2}", "{2,}", "{1,2}?"]
FIXED = ("^", "$", r"\b", r"\A", r"\z", r"\Z")


def splitter(*stages):
    made = _text.Pieces()
    made.set_stages(stages)
    return made


def cut(made, text):
    data = text.encode("utf-8", "surrogatepass")
    return [data[a:b].decode("utf-8", "surrogatepass") for a, b in made.split(data)]


def some_text(rng, most):
    return "".join(rng.choices(ALPHABET, k=rng.randint(0, most)))


def some_pattern(rng, depth=1):
    out = ""
    for _ in range(rng.randint(1, 4)):
        atom = rng.choice(ATOMS)
        if depth and rng.random() < 0.3:
            atom = f"(?:{some_pattern(rng, 0)})"
        loops = depth and atom.startswith("(?:") and len(atom) > 8  # what may be empty is not repeated without bound
        fixed = atom in FIXED or atom.startswith(("(?=", "(?!", "(?<"))
        out += atom + ("" if fixed else rng.choice(["", "?", "{2}"] if loops else REPEATS))
    return out + ("|" + some_pattern(rng, 0) if rng.random() < 0.35 else "")


@pytest.mark.peer
@pytest.mark.parametrize("number", range(len(KNOWN)))
def test_well_known_patterns_and_their_scanners_cut_as_the_library(number):
    tokenizers = pytest.importorskip("tokenizers")
    pattern, rng = KNOWN[number], random.Random(number)
    peer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    made = [splitter((regex.compile_pattern(pattern), "Isolated", False))]
    if pattern in pretokenize.PATTERNS:
        made.append(splitter(pretokenize.PATTERNS[pattern]))
    for _ in range(300):
        text = some_text(rng, 30)
        expected = [piece for piece, _ in peer.pre_tokenize_str(text)]
        for one in made:
            assert cut(one, text) == expected, text


@pytest.mark.peer
@pytest.mark.parametrize("seed", range(4))
def test_random_patterns_cut_as_the_library_with_every_behavior(seed):
    tokenizers = pytest.importorskip("tokenizers")
    rng, done = random.Random(seed), 0
    while done < 1000:
        pattern = some_pattern(rng)
        behavior, invert = rng.choice(list(BEHAVIORS)), rng.random() < 0.3
        try:
            peer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), BEHAVIORS[behavior], invert)
        except Exception:  # not a pattern for the library either
            continue
        made = splitter((regex.compile_pattern(pattern), behavior, invert))
        for _ in range(10):
            text = some_text(rng, 12)
            expected = [piece for piece, _ in peer.pre_tokenize_str(text)]
            assert cut(made, text) == expected, (pattern, text, behavior, invert)
            done += 1


HOSTILE = [
    "a" * 30_000,
    " " * 30_000,
    "ab" * 30_000,
    "a" * 30_000 + "!",
    "1" * 30_000,
    "é" * 30_000,
    "\n" * 30_000,
]


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b", "(a|a)*b", "(a|aa)+$", "(?:a*)*b", ".*.*.*=", r"\s*[\r\n]|\s", "a*b", "(?=.*!)a|.", "(?>a+)b",
        r"(\w+\s?)+\z!", "(?:(?:a?){20})a{20}b", *KNOWN[:10],
    ],
)  # fmt: skip
def test_no_pattern_is_slow_on_a_hostile_text(pattern):
    made = splitter((regex.compile_pattern(pattern), "Isolated", False))
    for text in HOSTILE:
        began = time.process_time()
        assert "".join(cut(made, text)) == text
        assert time.process_time() - began < 20  # backtracking would need years


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a", "without"), ("a)", "unmatched"), ("[a", "too early"), ("*a", "nothing to repeat"),
        (r"\1(a)", "back reference"), (r"\p{Klingon}", "Klingon"), ("(?<=a+)b", "lookbehind"),
        ("a{3,1}", "upside down"), ("a{5000}", "repetition"),
        ("[z-a]", "upside down"), ("(?y)a", "not supported"), (r"\k<x>", "not supported"),
        ("(" * 60 + ")" * 60, "nested"),
        ("(?:a{900}){900}", "compiles to more"), ("[[:nothing:]]", "nothing"), (r"\xZZ", "hexadecimal"),
        ("\\", "too early"),
        ("a" * 20_000, "limit"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(pattern, words):
    began = time.process_time()
    with pytest.raises(regex.PatternError, match=words):
        regex.compile_pattern(pattern)
    assert time.process_time() - began < 2


def test_an_empty_match_cuts_and_takes_nothing():
    made = splitter((regex.compile_pattern(r"(?=(\d{3})+(?!\d))"), "Isolated", False))
    assert cut(made, "1234567 12") == ["1", "234", "567 12"]


def test_remembered_states_give_what_backtracking_gives():
    """The slow way of the matcher, on texts that the fast one also handles."""
    rng = random.Random(5)
    for _ in range(300):
        pattern = some_pattern(rng)
        looping = regex.compile_pattern(f"(?:(?:{pattern}))")
        slow = regex.compile_pattern(
            f"(?:{pattern}|(?:(?!.|\n)(?:x?)*y))"
        )  # what loops over nothing is never taken fast
        for _ in range(10):
            data = some_text(rng, 10).encode()
            assert looping.find_all(data) == slow.find_all(data), (pattern, data)
