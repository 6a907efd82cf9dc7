"""The pre-tokenisers that GGUF files call by name (`tokenizer.ggml.pre`), as entries of a tokenizer.json.

A GGUF holds no patterns: the name stands for those of the tokenizer.json that the model was published with. Each name
is a list of splits applied one inside the other, with what else the published tokenizer does (NFC, whole words before
merges). Knows no vocabulary.
"""

from dataclasses import dataclass

from runtime.text.patterns import (
    BAILING,
    BLOOM,
    DEEPSEEK_CODER,
    DEEPSEEK_LLM,
    DEEPSEEK_V3,
    EXAONE_MOE,
    GPT2,
    GPT4O,
    JAIS2,
    KIMI_K2,
    LLAMA3,
    MINICPM5,
    PUNCTUATION_RUNS,
    QWEN2,
    QWEN35,
    SEED_CODER,
    SUPERBPE,
    TEKKEN,
    TINY_AYA,
    YOUTU,
)

DIGITS, DIGIT_RUNS, DIGITS_3, LINES = r"\p{N}", r"\p{N}+", r"[0-9][0-9][0-9]", r"[^\n]+|[\n]+"


@dataclass(frozen=True)
class Pre:
    """splits: patterns, the outermost first; nfc: the published tokenizer composes characters; ignore_merges: whole
    pieces are looked up before merging; add_bos: where the file does not say; byte_level: false for pieces of
    characters with U+2581 for a space."""

    splits: tuple[str, ...]
    nfc: bool = False
    ignore_merges: bool = False
    add_bos: bool = False
    byte_level: bool = True


_GPT2, _STARCODER = Pre((GPT2,)), Pre((DIGITS, GPT2))
_BLOOM, _LINES = Pre((BLOOM,)), Pre((LINES,), byte_level=False)
_LLAMA3, _LLAMA3_PLAIN = Pre((LLAMA3,), ignore_merges=True, add_bos=True), Pre((LLAMA3,))
_QWEN2, _GPT4O, _DEEPSEEK_V3 = Pre((QWEN2,), nfc=True), Pre((GPT4O,)), Pre(DEEPSEEK_V3)
_DEFAULT = Pre((PUNCTUATION_RUNS, GPT2, DIGIT_RUNS, DIGITS_3))

PRE: dict[str, Pre] = {
    "default": _DEFAULT,
    "gpt-2": _GPT2,
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0"), _LLAMA3),
    **dict.fromkeys(("lfm2", "jina-v5-nano"), _LLAMA3),
    "deepseek-llm": Pre(DEEPSEEK_LLM),
    "deepseek-coder": Pre(DEEPSEEK_CODER),
    "deepseek-v3": _DEEPSEEK_V3,
    "falcon": Pre((PUNCTUATION_RUNS, GPT2, DIGITS_3)),
    "mpt": Pre((GPT2,), nfc=True),
    "starcoder": _STARCODER,
    **dict.fromkeys(("phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0"), _GPT2),
    **dict.fromkeys(("mellum", "modern-bert", "jina-v1-en", "jina-v2-code", "roberta-bpe"), _GPT2),
    **dict.fromkeys(("jais", "exaone4", "trillion", "granite-docling"), _GPT2),
    "jais-2": Pre((JAIS2,)),
    **dict.fromkeys(("gemma4", "granite-embed-multi-311m", "sarvam-moe"), _LINES),
    "refact": _STARCODER,
    "command-r": Pre((DIGITS, GPT2), nfc=True),
    "qwen2": _QWEN2,
    **dict.fromkeys(("deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan"), _QWEN2),
    **dict.fromkeys(("solar-open", "grok-2"), Pre((QWEN2,))),
    "qwen35": Pre((QWEN35,), nfc=True),
    "olmo": Pre((GPT2,), nfc=True),
    "dbrx": _LLAMA3_PLAIN,
    **dict.fromkeys(("smaug-bpe", "chatglm-bpe"), _LLAMA3_PLAIN),
    **dict.fromkeys(("glm4", "glm5"), Pre((LLAMA3,), ignore_merges=True)),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), _BLOOM),
    "viking": Pre((BLOOM, DIGITS)),
    "tekken": Pre((TEKKEN,), ignore_merges=True, add_bos=True),
    **dict.fromkeys(("smollm", "codeshell", "exaone", "minerva-7b", "mellum2"), _STARCODER),
    "exaone-moe": Pre((EXAONE_MOE,), nfc=True),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), _GPT4O),
    "granite-embed-multi-97m": Pre((GPT4O,), ignore_merges=True),
    **dict.fromkeys(("tiny_aya", "cohere2moe"), Pre((TINY_AYA, GPT4O))),
    "superbpe": Pre(SUPERBPE),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), Pre((BAILING,))),
    "seed-coder": Pre((SEED_CODER,)),
    **dict.fromkeys(("hunyuan-dense", "hy_v4", "joyai-llm"), _DEEPSEEK_V3),
    "kimi-k2": Pre((KIMI_K2,)),
    "youtu": Pre(YOUTU, ignore_merges=True),
    "minicpm5": Pre(MINICPM5, ignore_merges=True),
    "laguna": Pre((LINES, QWEN2)),
}


def pre_entry(pre: Pre) -> dict:
    """The `pre_tokenizer` entry of a tokenizer.json that cuts as the name says."""
    splits = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in pre.splits
    ]
    if not pre.byte_level:
        return {"type": "Sequence", "pretokenizers": splits}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [*splits, level]}


def name_of(splits: tuple[str, ...], ignore_merges: bool) -> str | None:
    """The name whose patterns are these (the first of equals), None if there is none."""
    found = [name for name, pre in PRE.items() if pre.byte_level and pre.splits == splits]
    exact = [name for name in found if PRE[name].ignore_merges == ignore_merges]
    return next(iter([*exact, *found]), None)
