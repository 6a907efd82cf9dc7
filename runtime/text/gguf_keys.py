"""A tokenizer as the keys `tokenizer.ggml.*` of a GGUF file: what `runtime.quantize` writes beside the weights.

Byte-level BPE becomes model "gpt2", BPE of characters with byte fallback and SentencePiece BPE "llama", SentencePiece
Unigram "t5", WordPiece "bert"; other kinds "none". What those keys cannot say (a split without a name, merges in an
order of their own) is kept whole in the key `tokenizer.huggingface.json`, which our reader prefers. Knows nothing
about tensors or the file's layout.
"""

import json
from collections.abc import Mapping

import numpy as np

from runtime.text import gguf_pre, spm
from runtime.text.base import BaseTokenizer
from runtime.text.bpe import Tokenizer
from runtime.text.pretokenize import METASPACE
from runtime.text.spm import SentencePieceTokenizer
from runtime.text.wordpiece import WordPieceTokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
WHOLE_FILE = "tokenizer.huggingface.json"
# key -> literals that carry the role, the first one found counts
ROLES = {
    "bos_token_id": ("<s>", "<bos>", "<|begin_of_text|>", "<｜begin▁of▁sentence｜>", "[BOS]", "<|startoftext|>"),
    "eos_token_id": (
        "<|endoftext|>",
        "</s>",
        "<eos>",
        "<|end_of_text|>",
        "<｜end▁of▁sentence｜>",
        "<|im_end|>",
        "[EOS]",
    ),
    "eot_token_id": ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|EOT|>", "<｜end▁of▁turn｜>"),
    "unknown_token_id": ("<unk>", "[UNK]"),
    "padding_token_id": ("<pad>", "[PAD]", "<|pad|>"),
    "seperator_token_id": ("[SEP]",),  # as the format spells it
    "mask_token_id": ("[MASK]", "<mask>"),
    "fim_pre_token_id": ("<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<｜fim▁begin｜>", "▁<PRE>"),
    "fim_suf_token_id": ("<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", "<｜fim▁hole｜>", "▁<SUF>"),
    "fim_mid_token_id": ("<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<｜fim▁end｜>", "▁<MID>"),
    "fim_pad_token_id": ("<|fim_pad|>", "<fim_pad>", "<fim-pad>"),
    "fim_rep_token_id": ("<|repo_name|>", "<repo_name>", "<reponame>"),
    "fim_sep_token_id": ("<|file_sep|>", "<file_sep>", "<|file_separator|>"),
}


def gguf_keys(tokenizer: BaseTokenizer, rows: int | None = None, chat_template: str | None = None) -> dict[str, object]:
    """Metadata key -> str, bool, int, list of str or numpy array, ready for the GGUF writer.

    rows: rows of the model's token table; ids beyond the vocabulary are written as unused `[PADn]`, as GGUF files of
    padded models have them. chat_template: text of the template, kept as it is. Raises ValueError where the tokenizer
    has more entries than the table has rows.
    """
    rows = tokenizer.vocab_size if rows is None else rows
    if rows < tokenizer.vocab_size:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size} entries, the model's table only {rows} rows")
    if isinstance(tokenizer, SentencePieceTokenizer):
        keys = _sentencepiece(tokenizer)
    elif isinstance(tokenizer, Tokenizer):
        keys = _byte_level(tokenizer) if tokenizer.spec.pre_tokenizer.byte_level else _by_character(tokenizer)
    elif isinstance(tokenizer, WordPieceTokenizer) and tokenizer.spec.inner_prefix == "##":
        keys = _word_pieces(tokenizer)
    else:
        return {"tokenizer.ggml.model": "none", WHOLE_FILE: tokenizer.dumps().decode()} | _template_key(chat_template)
    texts, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    padding = range(len(texts), rows)
    keys["tokenizer.ggml.tokens"] = [*texts, *(f"[PAD{i}]" for i in padding)]
    keys["tokenizer.ggml.token_type"] = np.array([*types, *(UNUSED for _ in padding)], "<i4")
    if "tokenizer.ggml.scores" in keys:
        scores = [*keys["tokenizer.ggml.scores"], *(-1e4 for _ in padding)]
        keys["tokenizer.ggml.scores"] = np.array(scores, "<f4")
    for key, literals in ROLES.items():
        found = next((tokenizer.special[text] for text in literals if text in tokenizer.special), None)
        if found is not None:
            keys[f"tokenizer.ggml.{key}"] = found
    return keys | _around(tokenizer) | _template_key(chat_template)


def _template_key(chat_template: str | None) -> dict[str, object]:
    return {"tokenizer.chat_template": chat_template} if chat_template else {}


def _around(tokenizer: BaseTokenizer) -> dict[str, object]:
    """What is written around a text: the flags, and the ids that they mean."""
    template = tokenizer.spec.template
    at = template.index(None)
    before, after = template[:at], template[at + 1 :]
    keys = {"tokenizer.ggml.add_bos_token": bool(before), "tokenizer.ggml.add_eos_token": bool(after)}
    if before:
        keys["tokenizer.ggml.bos_token_id"] = before[0]
    if after:
        keys["tokenizer.ggml.eos_token_id"] = after[-1]
    return keys


def _types(tokenizer: BaseTokenizer) -> dict[int, int]:
    return {t.id: CONTROL if t.special or t.content.startswith("<|") else USER_DEFINED for t in tokenizer.spec.added}


def _byte_level(tokenizer: Tokenizer) -> dict[str, object]:
    spec = tokenizer.spec
    texts, types = _texts_and_types(tokenizer, spec.vocab)
    keys: dict[str, object] = {"tokenizer.ggml.model": "gpt2"}
    name = gguf_pre.name_of(spec.pre_tokenizer.patterns, spec.ignore_merges)
    keys["tokenizer.ggml.merges"] = [f"{a} {b}" for a, b in spec.merges]
    keys["tokenizer.ggml.pre"] = name or "default"
    keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"] = texts, types
    if name is None:
        keys[WHOLE_FILE] = tokenizer.dumps().decode()
    return keys


def _texts_and_types(tokenizer: BaseTokenizer, vocab: Mapping[str, int]) -> tuple[list[str], list[int]]:
    """By id: the texts, and the types of the vocabulary's own tokens and of the added ones."""
    texts = [f"[PAD{i}]" for i in range(tokenizer.vocab_size)]
    types = [UNUSED] * tokenizer.vocab_size
    for text, i in vocab.items():
        texts[i], types[i] = text, NORMAL
    for token in tokenizer.spec.added:
        texts[token.id] = token.content
    for i, kind in _types(tokenizer).items():
        types[i] = kind
    return texts, types


def _by_character(tokenizer: Tokenizer) -> dict[str, object]:
    """As SentencePiece would hold it: the score of a piece is the order of the first merge that makes it."""
    spec = tokenizer.spec
    texts, types = _texts_and_types(tokenizer, spec.vocab)
    scores = [-1e6] * len(texts)
    for rank, (_, _, _, made) in enumerate(tokenizer.tables.rules.tolist()):
        scores[made] = max(scores[made], float(-rank))
    for i in tokenizer.tables.byte_ids:
        if i >= 0:
            types[i], scores[i] = BYTE, 0.0
    if spec.unknown is not None:
        types[spec.vocab[spec.unknown]] = UNKNOWN
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.add_space_prefix": '"Prepend"' in json.dumps(spec.normalizer),
        WHOLE_FILE: tokenizer.dumps().decode(),
    }


def _word_pieces(tokenizer: WordPieceTokenizer) -> dict[str, object]:
    """Pieces that begin a word get U+2581 in front, the others lose their mark."""
    spec = tokenizer.spec
    texts, types = _texts_and_types(tokenizer, spec.vocab)
    for i, text in enumerate(texts):
        if types[i] == NORMAL and not (text.startswith("[") and text.endswith("]")):
            texts[i] = text[2:] if text.startswith("##") and len(text) > 2 else METASPACE + text
    keys: dict[str, object] = {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.unknown_token_id": spec.vocab[spec.unknown],
        WHOLE_FILE: tokenizer.dumps().decode(),
    }
    if (spec.normalizer or {}).get("type") == "BertNormalizer":
        keys["tokenizer.ggml.normalizer.lowercase"] = spec.normalizer.get("lowercase", True)
    return keys


def _sentencepiece(tokenizer: SentencePieceTokenizer) -> dict[str, object]:
    spec = tokenizer.spec
    keys: dict[str, object] = {
        "tokenizer.ggml.model": "llama" if spec.model_type == spm.BPE else "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [text for text, _, _ in spec.pieces],
        "tokenizer.ggml.scores": [score for _, score, _ in spec.pieces],
        "tokenizer.ggml.token_type": [kind for _, _, kind in spec.pieces],
        "tokenizer.ggml.add_space_prefix": spec.dummy_prefix,
        "tokenizer.ggml.remove_extra_whitespaces": spec.remove_extra,
        "tokenizer.ggml.unknown_token_id": spec.unknown,
    }
    if spec.charsmap:
        keys["tokenizer.ggml.precompiled_charsmap"] = np.frombuffer(spec.charsmap, np.uint8)
    return keys
