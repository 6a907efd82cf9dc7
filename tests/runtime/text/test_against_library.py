"""Ids and texts equal those of the Hugging Face library, for vocabularies of every kind that it trained here."""

import json
import sys
from pathlib import Path

import pytest

from runtime.text import StreamDecoder, load_tokenizer, patterns

sys.path.insert(0, str(Path(__file__).parent))
import mixed_text

tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.peer
pre, norm, dec, post = (
    tokenizers.pre_tokenizers, tokenizers.normalizers, tokenizers.decoders, tokenizers.processors,
)  # fmt: skip
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>"]


def split(*sources, behavior="isolated", invert=False):
    parts = [pre.Split(tokenizers.Regex(s), behavior, invert) for s in sources]
    return pre.Sequence([*parts, pre.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_level(pre_tokenizer, normalizer=None):
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizer, dec.ByteLevel()
    if normalizer:
        made.normalizer = normalizer
    return made, tokenizers.trainers.BpeTrainer(
        vocab_size=900, special_tokens=SPECIAL, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
    )


def by_fallback(fuse=True, unknown="<unk>"):
    made = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, fuse_unk=fuse, unk_token=unknown))
    made.normalizer = norm.Sequence([norm.Prepend("▁"), norm.Replace(" ", "▁")])
    made.decoder = dec.Sequence([dec.Replace("▁", " "), dec.ByteFallback(), dec.Fuse(), dec.Strip(" ", 1, 0)])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    return made, tokenizers.trainers.BpeTrainer(
        vocab_size=1100, special_tokens=[*SPECIAL, *bytes_], show_progress=False, limit_alphabet=90, max_token_length=12
    )


def with_marks(prefix, suffix, fuse):
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            unk_token="<unk>", continuing_subword_prefix=prefix, end_of_word_suffix=suffix, fuse_unk=fuse
        )
    )
    made.normalizer = norm.Sequence([norm.NFD(), norm.Lowercase(), norm.StripAccents()])
    made.pre_tokenizer, made.decoder = pre.Whitespace(), dec.BPEDecoder(suffix or "</w>")
    return made, tokenizers.trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=SPECIAL,
        show_progress=False,
        limit_alphabet=70,
        continuing_subword_prefix=prefix,
        end_of_word_suffix=suffix,
    )


def unigram(pre_tokenizer, decoder, normalizer=None):
    made = tokenizers.Tokenizer(tokenizers.models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizer, decoder
    if normalizer:
        made.normalizer = normalizer
    return made, tokenizers.trainers.UnigramTrainer(
        vocab_size=800, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )


def words(normalizer, pre_tokenizer, level=False):
    kind = tokenizers.models.WordLevel if level else tokenizers.models.WordPiece
    made = tokenizers.Tokenizer(kind(unk_token="<unk>"))
    made.normalizer, made.pre_tokenizer = normalizer, pre_tokenizer
    if not level:
        made.decoder = dec.WordPiece()
    trainer = tokenizers.trainers.WordLevelTrainer if level else tokenizers.trainers.WordPieceTrainer
    return made, trainer(vocab_size=800, special_tokens=SPECIAL, show_progress=False)


def metaspace(scheme, split=True):
    return pre.Metaspace(prepend_scheme=scheme, split=split), dec.Metaspace(prepend_scheme=scheme, split=split)


KINDS = {
    "gpt2": lambda: byte_level(pre.ByteLevel(add_prefix_space=False)),
    "gpt2 with a space in front": lambda: byte_level(pre.ByteLevel(add_prefix_space=True)),
    "qwen2": lambda: byte_level(split(patterns.QWEN2), norm.NFC()),
    "llama3": lambda: byte_level(split(patterns.LLAMA3)),
    "gpt4o": lambda: byte_level(split(patterns.GPT4O)),
    "tekken": lambda: byte_level(split(patterns.TEKKEN)),
    "deepseek v3": lambda: byte_level(split(*patterns.DEEPSEEK_V3)),
    "deepseek coder": lambda: byte_level(split(*patterns.DEEPSEEK_CODER)),
    "removed": lambda: byte_level(split(patterns.QWEN2, behavior="removed", invert=True), norm.NFKC()),
    "falcon": lambda: byte_level(
        pre.Sequence([
            pre.Punctuation("contiguous"), pre.ByteLevel(add_prefix_space=False), pre.Digits(individual_digits=False),
            pre.Split(tokenizers.Regex("[0-9][0-9][0-9]"), "isolated"),
        ])
    ),
    "starcoder": lambda: byte_level(pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(False)])),
    "merged with next": lambda: byte_level(split(r"[\s_]+", behavior="merged_with_next"), norm.NFKD()),
    "merged with previous": lambda: byte_level(split(r"\p{P}", behavior="merged_with_previous")),
    "contiguous": lambda: byte_level(split(r"\p{Lu}|\d", behavior="contiguous")),
    "byte fallback": by_fallback,
    "byte fallback, unknown apart": lambda: by_fallback(False),
    "marks": lambda: with_marks("##", "</w>", False),
    "suffix, unknown fused": lambda: with_marks("", "</w>", True),
    "unigram": lambda: unigram(*metaspace("always"), norm.NFKC()),
    "unigram, first": lambda: unigram(*metaspace("first")),
    "unigram, whole lines": lambda: unigram(*metaspace("never", False), norm.Nmt()),
    "unigram of words": lambda: unigram(
        pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()]), dec.Metaspace(),
        norm.Sequence([norm.Strip(), norm.Replace(tokenizers.Regex(" {2,}"), " ")]),
    ),
    "bert": lambda: words(norm.BertNormalizer(), pre.BertPreTokenizer()),
    "bert, cased": lambda: words(norm.BertNormalizer(lowercase=False, strip_accents=True), pre.BertPreTokenizer()),
    "word pieces": lambda: words(norm.Lowercase(), pre.Sequence([pre.Whitespace(), pre.Digits(True)])),
    "word level": lambda: words(norm.StripAccents(), pre.CharDelimiterSplit(" "), True),
    "word level without punctuation": lambda: words(
        norm.NFC(), pre.Sequence([pre.WhitespaceSplit(), pre.Punctuation("removed")]), True
    ),
}  # fmt: skip


def compare(ours, peer, texts) -> int:
    """Bytes of the texts; fails at the first difference."""
    total = 0
    for text in texts:
        expected = peer.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, parse_special=True) == expected, text
        for skip in (False, True):
            decoded = peer.decode(expected, skip_special_tokens=skip)
            assert ours.decode(expected, skip_special=skip) == decoded, text
        stream = StreamDecoder(ours)
        assert "".join(map(stream.feed, expected)) + stream.flush() == ours.decode(expected)
        total += len(text.encode())
    return total


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """name -> (ours, the library's), trained once."""
    folder, made = tmp_path_factory.mktemp("library"), {}

    def get(name):
        if name not in made:
            peer, trainer = KINDS[name]()
            texts = ("".join(c for c in text if c < "\u0500") for text in mixed_text.documents(1, 200_000))
            peer.train_from_iterator(texts, trainer)
            peer.add_tokens([tokenizers.AddedToken("<tool>", lstrip=True, rstrip=True, normalized=False)])
            peer.add_tokens([tokenizers.AddedToken("wide", single_word=True, normalized=True), "index node"])
            path = folder / f"{len(made)}.json"
            peer.save(str(path))
            made[name] = load_tokenizer(path), peer
        return made[name]

    return get


SOME = [
    "", " ", "\n", "a", "  <tool>  x<tool><tool> y", "wide widely é wide",
    "<|im_start|>user\n</s>", "index node indexnode",
    "x<s>y", " index  node ", "<unk>", "\u0301wide", "wide\u0301", "\r\n", "a\r\n\r\nb", "ß ſ K İ Σς ǅ",
]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_trained_vocabulary_encodes_and_decodes_alike(trained, name):
    ours, peer = trained(name)
    assert ours.vocab_size == peer.get_vocab_size()
    assert compare(ours, peer, [*SOME, *mixed_text.documents(2, 120_000)]) >= 120_000


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
def test_twenty_megabytes_encode_and_decode_alike(trained, name):
    ours, peer = trained(name)
    assert compare(ours, peer, mixed_text.documents(3, 20_000_000 // 10)) >= 2_000_000


@pytest.mark.long
@pytest.mark.shared
@pytest.mark.parametrize("name", ["qwen2.5-coder", "gpt-2", "starcoder", "bert-bge"])
def test_real_vocabularies_on_twenty_megabytes(vectors, name):
    path = vectors / f"{name}.tokenizer.json"
    peer = tokenizers.Tokenizer.from_file(str(path))
    assert compare(load_tokenizer(path), peer, mixed_text.documents(4, 20_000_000)) >= 20_000_000


def test_what_surrounds_a_text_is_alike(trained, tmp_path):
    _, peer = trained("gpt2")
    peer = tokenizers.Tokenizer.from_str(peer.to_str())
    ids = {text: peer.token_to_id(text) for text in SPECIAL}
    for processor in (
        post.TemplateProcessing(single="<s> $A </s> </s>", special_tokens=[("<s>", ids["<s>"]), ("</s>", ids["</s>"])]),
        post.BertProcessing(("</s>", ids["</s>"]), ("<s>", ids["<s>"])),
        post.RobertaProcessing(("</s>", ids["</s>"]), ("<s>", ids["<s>"])),
        post.Sequence(
            [post.ByteLevel(), post.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", ids["<s>"])])]
        ),
    ):
        peer.post_processor = processor
        peer.save(str(tmp_path / "tokenizer.json"))
        for text in ("", "a b", "<s>x"):
            ours = load_tokenizer(tmp_path).encode(text, add_special=True, parse_special=True)
            assert ours == peer.encode(text).ids, json.loads(processor.__getstate__())
