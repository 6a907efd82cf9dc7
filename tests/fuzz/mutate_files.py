"""Feeds mutated files of one format to its loader, and what loads to its users; prints a summary as JSON.

    python tests/fuzz/mutate_files.py FORMAT FOLDER [--seed N] [--cases N | --seconds S] [--only CASE]

FORMAT: one of FORMATS. Case c of seed s is always the same bytes. Every mutant must load or raise FormatError that
names its path, within SECONDS of CPU and EXTRA bytes of memory; whatever loads must encode, decode, save and load again
(tokenizers) or give every tensor (safetensors, gguf). The first case that does not is left as FOLDER/finding-CASE.*.
Exit code 1 if there is a finding.
"""

import argparse
import collections
import json
import os
import random
import resource
import sys
import time
import traceback
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import mutations

from native_kernels.qtypes import QTYPES
from runtime.files.errors import FormatError
from runtime.files.gguf_write import GgufTensor, write_gguf
from runtime.files.safetensors import read_safetensors, write_safetensors
from runtime.files.tensors import open_weights
from runtime.text import load_tokenizer, train_bpe, train_characters, train_unigram, train_words
from runtime.text.gguf_keys import WHOLE_FILE, gguf_keys

FORMATS = ("bpe", "unigram", "characters", "components", "sentencepiece", "vocabulary", "safetensors", "gguf")
SECONDS, EXTRA = 5.0, 1 << 30
os.fsync = lambda fd: None  # nothing here has to survive a power cut, and it would be most of the time
SAMPLE = "def f(a, b):\n    return a[b] + 1  # é 深 😀\t<|x|>\r\n \n'''s'''  ab ab\0\ud800 ▁Ġ<0x0A><s>\n"
TRAINING = ["def area(width, height):\n    return width * height\n", "for i in range(10):\n    print(i, 'é')\n"] * 3


# ---- honest files ---------------------------------------------------------------------------------------------------
def json_seeds(name: str, folder: Path) -> list[dict]:
    special = ["<|x|>", "<s>"]
    if name == "bpe":
        made = [train_bpe(TRAINING, 280, special), train_bpe(TRAINING, 270, special, split="qwen2")]
    elif name == "unigram":
        made = [train_unigram(TRAINING, 300, special), train_unigram(TRAINING, 320, special, split="metaspace")]
    elif name == "components":
        return component_seeds()
    else:
        made = [train_characters(TRAINING, special_tokens=special), train_words(TRAINING, 330, special)]
    roots = []
    for tokenizer in made:
        tokenizer.save(folder / "seed.json")
        roots.append(json.loads((folder / "seed.json").read_bytes()))
    template = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    roots.append(json.loads(json.dumps(roots[0])))
    roots[-1]["post_processor"] = {"type": "TemplateProcessing", "single": template, "pair": [], "special_tokens": {}}
    roots[-1]["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKD"}]}
    return roots


def component_seeds() -> list[dict]:
    """WordPiece, WordLevel and BPE of characters, with every normaliser, pre-tokeniser, decoder and post-processor."""

    def split(pattern, behavior="Isolated", kind="Regex", invert=False):
        return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}

    letters = {c: i + 3 for i, c in enumerate("abdefinrstuwh(): \n\u2581Ġé+1")}
    vocab = {
        "[UNK]": 0,
        "<s>": 1,
        "<|x|>": 2,
        **letters,
        "##e": 40,
        "##a": 41,
        "ar": 42,
        "e</w>": 43,
        "re": 44,
        "##r": 45,
    }
    names = {f"<0x{b:02X}>": 50 + b for b in range(256)}
    added = [
        {"id": 1, "content": "<s>", "special": True, "normalized": False, "lstrip": True, "rstrip": True},
        {"id": 2, "content": "<|x|>", "special": False, "normalized": True, "single_word": True},
    ]
    forms = ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "BertNormalizer"]
    normalizers = [
        *({"type": form} for form in forms),
        {"type": "Replace", "pattern": {"Regex": r"(?i:a|b)+?\s{2,}|x{1,3}"}, "content": "ar"},
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Strip", "strip_left": True, "strip_right": False},
        {"type": "Precompiled", "precompiled_charsmap": ""},
    ]
    splits = [
        split(r"(?=(\d{3})+(?!\d))|[^\s\p{L}&&[^_]]?+\p{L}++|(?<!\S)\h*\R"),
        split("a", "MergedWithPrevious", "String"),
        split(r"\s+", "MergedWithNext"),
        split(r"\p{Lu}|\b", "Contiguous"),
        split(r"\S+", "Removed", "Regex", True),
        {"type": "Digits", "individual_digits": False},
        {"type": "Punctuation", "behavior": "Isolated"},
        {"type": "Whitespace"},
        {"type": "CharDelimiterSplit", "delimiter": ":"},
        {"type": "FixedLength", "length": 7},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
    ]
    decoders = [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    roberta = {"type": "RobertaProcessing", "cls": ["<s>", 1], "sep": ["<|x|>", 2]}
    bpe = {"type": "BPE", "unk_token": "[UNK]", "fuse_unk": True, "vocab": vocab, "merges": ["a r"]}
    marked = {**bpe, "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>", "merges": [["a", "##r"]]}
    words = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocab, "max_input_chars_per_word": 30}
    level = {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab}
    fallback = {**bpe, "byte_fallback": True, "vocab": {**vocab, **names}}
    kinds = [
        (words, {"type": "BertPreTokenizer"}, {"type": "WordPiece", "prefix": "##", "cleanup": True}),
        (level, {"type": "WhitespaceSplit"}, None),
        (marked, {"type": "Sequence", "pretokenizers": splits[5:8]}, {"type": "BPEDecoder", "suffix": "</w>"}),
        (fallback, {"type": "Sequence", "pretokenizers": splits}, {"type": "Sequence", "decoders": decoders}),
        (bpe, splits[0], {"type": "CTC", "pad_token": "[UNK]", "word_delimiter_token": "a", "cleanup": True}),
    ]
    return [
        {
            "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": normalizers[k::2]},
            "pre_tokenizer": pre,
            "post_processor": {"type": "Sequence", "processors": [roberta, {"type": "ByteLevel"}]},
            "decoder": decoder,
            "model": model,
        }
        for k, (model, pre, decoder) in enumerate(kinds)
    ]


def vocabulary_seeds(folder: Path) -> list[bytes]:
    """GGUF files that hold nothing but a vocabulary: byte-level BPE, SentencePiece of both kinds, WordPiece."""
    found = []
    (folder / "seed.model").write_bytes(sentencepiece_seeds()[1])
    keys = gguf_keys(load_tokenizer(folder / "seed.model"))
    (folder / "seed.json").write_text(json.dumps(component_seeds()[0]))
    for entries in (
        gguf_keys(train_bpe(TRAINING, 300, ["<|x|>", "<s>"], split="qwen2"), rows=310),
        keys,
        keys | {"tokenizer.ggml.model": "llama"},
        gguf_keys(load_tokenizer(folder / "seed.json")),
    ):
        for whole in (True, False):
            kept = {key: value for key, value in entries.items() if whole or key != WHOLE_FILE}
            write_gguf(folder / "seed.gguf", kept, [])
            found.append((folder / "seed.gguf").read_bytes())
    return found


def sentencepiece_seeds() -> list[bytes]:
    def piece(text, score, kind):
        text = text.encode()
        raw = mutations.varint(len(text)) + text + b"\x15" + np.float32(score).tobytes() + b"\x18" + bytes([kind])
        return (1, 2, b"\x0a" + raw)

    words = [
        ("<unk>", 0.0, 2),
        ("<s>", 0.0, 3),
        ("▁", -2.0, 1),
        ("a", -3.0, 1),
        ("b", -3.5, 1),
        ("ab", -4.0, 1),
        ("é", -5, 1),
    ]
    fallback = [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
    # the smallest map: the key "x" (0x78) is replaced by "ab"; a double-array trie of root, letter and leaf
    units = [0] * 512
    units[0] = 256 << 10  # the root's children start at 256
    units[256 ^ 0x78] = 0x78 | 1 << 8 | (4 << 10)
    units[256 ^ 0x78 ^ 4] = 1 << 31
    trie = np.array(units, "<u4").tobytes()
    rules = len(trie).to_bytes(4, "little") + trie + b"ab\0"
    plain = mutations.encode([*(piece(*w) for w in words), (2, 2, b""), (3, 2, b"\x18\x00\x20\x00")])
    rich = [*(piece(*w) for w in [*words, *fallback]), (2, 2, mutations.encode([(35, 0, b"\x01")]))]
    return [
        plain,
        mutations.encode([*rich, (3, 2, mutations.encode([(2, 2, rules), (3, 0, b"\x01"), (4, 0, b"\x01")]))]),
    ]


def safetensors_seeds(folder: Path) -> list[tuple[dict, bytes]]:
    rng = np.random.default_rng(1)
    tensors = {
        "model.embed": rng.standard_normal((4, 6)).astype(np.float32),
        "model.layers.0.weight": rng.standard_normal((3, 3)).astype(np.float16),
        "norm": rng.standard_normal(5),
        "ids": np.arange(7, dtype=np.int64),
        "flags": np.array([True, False]),
        "scalar": np.array(2.5, np.float32),
        "none": np.zeros((0, 4), np.uint8),
    }
    write_safetensors(folder / "seed.safetensors", tensors, {"format": "pt"}, {"model.embed": "BF16"})
    data = (folder / "seed.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    return [(json.loads(data[8 : 8 + size]), data[8 + size :])]


def gguf_seeds(folder: Path) -> list[bytes]:
    rng = np.random.default_rng(1)
    tensors = [
        GgufTensor("norm.weight", "F32", (5,), lambda: [rng.standard_normal(5).astype(np.float32)]),
        *(
            GgufTensor(f"blk.0.{name}", name, (2, t.values), lambda t=t: [rng.integers(0, 256, 2 * t.size, np.uint8)])
            for name, t in QTYPES.items()
        ),
    ]
    metadata = {"general.architecture": "llama", "general.alignment": 32, "a.u64": np.uint64(7), "a.f64": np.float64(1)}
    metadata |= {"tokens": ["a", "b", "é"], "scores": np.zeros(3, np.float32), "flags": np.array([True, False])}
    metadata |= {"kinds": np.array([1, 2, 3], np.int32), "b.flag": True, "split.count": np.uint16(0)}
    write_gguf(folder / "seed.gguf", metadata, tensors[:6])
    small = (folder / "seed.gguf").read_bytes()
    write_gguf(folder / "seed.gguf", metadata | {"general.alignment": 64}, tensors)
    return [small, (folder / "seed.gguf").read_bytes()]


# ---- one case -------------------------------------------------------------------------------------------------------
class Format:
    def __init__(self, name: str, folder: Path):
        self.name = name
        suffixes = {"sentencepiece": "model", "safetensors": "safetensors", "gguf": "gguf", "vocabulary": "gguf"}
        self.suffix = "." + suffixes.get(name, "json")
        if name == "sentencepiece":
            self.seeds = sentencepiece_seeds()
        elif name == "safetensors":
            self.seeds = safetensors_seeds(folder)
        elif name == "gguf":
            self.seeds = gguf_seeds(folder)
        elif name == "vocabulary":
            self.seeds = vocabulary_seeds(folder)
        else:
            self.seeds = json_seeds(name, folder)

    def honest(self) -> list[bytes]:
        if self.name in ("sentencepiece", "gguf", "vocabulary"):
            return self.seeds
        if self.name == "safetensors":
            return [self._packed(json.dumps(header).encode(), data) for header, data in self.seeds]
        return [json.dumps(root).encode() for root in self.seeds]

    @staticmethod
    def _packed(header: bytes, data: bytes) -> bytes:
        return len(header).to_bytes(8, "little") + header + data

    def mutant(self, rng: random.Random) -> bytes:
        k = rng.randrange(len(self.seeds))
        structured = rng.random() < 0.7
        if not structured:
            return mutations.of_bytes(rng, self.honest()[k])
        if self.name == "sentencepiece":
            return mutations.of_protobuf(rng, self.seeds[k])
        if self.name in ("gguf", "vocabulary"):
            return mutations.of_gguf(rng, self.seeds[k])
        if self.name == "safetensors":
            header, data = self.seeds[k]
            return self._packed(mutations.of_json(rng, header), data)
        return mutations.of_json(rng, self.seeds[k])

    def use(self, path: Path) -> None:
        """Loads the file and does with it what its users do. Raises FormatError where the file is refused."""
        if self.name == "safetensors":
            use_safetensors(path)
        elif self.name == "gguf":
            use_gguf(path)
        else:
            use_tokenizer(path)


def use_safetensors(path: Path) -> None:
    file = read_safetensors(path)
    for name in file.names():
        array = file.array(name)
        assert array.shape == file.shape(name)
        array.tobytes()
        try:
            assert file.float32(name).dtype == np.float32
        except FormatError as error:
            assert error.kind == "dtype"


def use_gguf(path: Path) -> None:
    weights = open_weights(path)
    for key in weights.metadata:
        try:
            value = weights.metadata[key]
        except FormatError as error:
            assert error.kind == "utf8"
            continue
        for getter in ("integer", "number", "boolean", "text", "strings", "integers", "numbers", "string_bytes"):
            try:
                np.testing.assert_equal(len(np.shape(getattr(weights.metadata, getter)(key))), len(np.shape(value)))
            except FormatError as error:
                assert error.kind in ("metadata", "utf8") and error.path == str(path)
    for name in weights.names():
        try:
            assert weights.float32(name).shape == weights.shape(name)
        except FormatError as error:
            assert error.kind == "unsupported_type"
        weights.release(name)


def use_tokenizer(path: Path) -> None:
    tokenizer = load_tokenizer(path)
    assert 1 <= tokenizer.vocab_size < 1 << 22
    results = []
    for text in (SAMPLE, SAMPLE * 3, "", " ", "\n", "a", "é", "x" * 300):
        for options in ({}, {"add_special": True}, {"parse_special": True}):
            ids = tokenizer.encode(text, **options)
            assert all(0 <= i < tokenizer.vocab_size for i in ids)
            results.append((ids, tokenizer.decode(ids), tokenizer.decode(ids, skip_special=True)))
        tokenizer.pre_tokens(text)
    for i in range(tokenizer.vocab_size)[:400]:
        tokenizer.token_bytes(i)
        tokenizer.decode([i])
    suffix = Path(tokenizer.file_name).suffix
    copy = path.with_name("copy" + suffix)
    tokenizer.save(copy)
    again = load_tokenizer(copy)  # what it writes, it also reads: the same ids
    assert again.encode(SAMPLE) == results[0][0], "saved and loaded, it encodes differently"


def run(name: str, folder: Path, seed: int, cases: int, seconds: float, only: int | None) -> dict:
    form = Format(name, folder)
    path = folder / f"mutant{form.suffix}"
    for data in form.honest():
        path.write_bytes(data)
        form.use(path)  # not a mutant: it must load
    soft = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + EXTRA
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    loaded, slowest, findings = 0, 0.0, []
    refused = collections.Counter()
    began, case = time.monotonic(), 0
    while only is None and (case < cases or time.monotonic() - began < seconds) or only is not None and case == 0:
        number = case if only is None else only
        case += 1
        data = form.mutant(random.Random(f"{name} {seed} {number}"))
        path.write_bytes(data)
        cpu = time.process_time()
        problem = None
        try:
            form.use(path)
            loaded += 1
        except FormatError as error:
            refused[error.kind] += 1
            copies = [str(path.with_name("copy" + suffix)) for suffix in (".json", ".model")]
            if error.path not in (str(path), *copies) or error.path not in str(error):
                problem = f"the error does not name the file: {error}"
            elif len(str(error)) > 1000 + len(str(path)) or "\n" in str(error):
                problem = f"the error is no short line: {str(error)[:200]!r}"
            elif error.path != str(path):
                problem = f"what it wrote, it does not read: {error}"
        except BaseException:
            problem = traceback.format_exc(limit=-4)
        spent = time.process_time() - cpu
        slowest = max(slowest, spent)
        if problem is None and spent > SECONDS:
            problem = f"{spent:.1f} s of CPU"
        if problem:
            (folder / f"finding-{number}{form.suffix}").write_bytes(data)
            findings.append({"case": number, "problem": problem[-600:]})
            if len(findings) == 20:
                break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "format": name,
        "cases": case,
        "loaded": loaded,
        "refused": dict(refused.most_common()),
        "findings": findings,
        "slowest_s": round(slowest, 3),
        "peak_bytes": peak,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("format", choices=list(FORMATS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--only", type=int)
    o = parser.parse_args()
    o.folder.mkdir(parents=True, exist_ok=True)
    summary = run(o.format, o.folder, o.seed, o.cases, o.seconds, o.only)
    print(json.dumps(summary))
    sys.exit(bool(summary["findings"]))
