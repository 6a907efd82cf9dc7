"""Fill-in-the-middle formats (Bavarian et al. 2022): which special tokens a vocabulary has and how a prompt is
written with them.

Orders: "psm": PRE prefix SUF suffix MID.  "spm": PRE SUF suffix MID prefix (the paper's "SPMv2": the middle continues
the prefix directly).  "suffix-first": SUF suffix PRE prefix MID (Mellum, Seed-Coder; Codestral without MID). Works on
ids only: what the prefix and the suffix should contain is not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ORDERS = ("psm", "spm", "suffix-first")
_END = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "</s>", "<|end_of_text|>")


@dataclass(frozen=True)
class _Family:
    """Literals of one family: a vocabulary is of it when it has prefix, suffix, middle and everything in `needs`."""

    name: str
    prefix: str
    suffix: str
    middle: str | None
    pad: str = ""
    separator: str = ""  # between files
    end: str = ""
    begin: str = ""
    order: str = "psm"
    needs: tuple[str, ...] = ()


_QWEN = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>")
_STARCODER = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<file_sep>", "<|endoftext|>")
# the first that fits wins, so that those with more literals stand before those that share them
_FAMILIES = (
    _Family("codegemma", *_QWEN, "<|file_separator|>", "<eos>", "<bos>", needs=("<|file_separator|>",)),
    _Family("qwen", *_QWEN, "<|file_sep|>", "<|endoftext|>", needs=("<|endoftext|>",)),
    _Family("granite", *_QWEN, "", "<|end_of_text|>", needs=("<|end_of_text|>",)),
    _Family("qwen", *_QWEN, "<|file_sep|>", "<|endoftext|>"),
    _Family("starcoder", *_STARCODER),
    _Family("santacoder", "<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<fim-pad>", "", "<|endoftext|>"),
    _Family("codellama", "▁<PRE>", "▁<SUF>", "▁<MID>", "", "", "▁<EOT>", "<s>"),
    _Family(
        "deepseek",
        "<｜fim▁begin｜>",
        "<｜fim▁hole｜>",
        "<｜fim▁end｜>",
        end="<｜end▁of▁sentence｜>",
        begin="<｜begin▁of▁sentence｜>",
    ),
    _Family(
        "seed-coder",
        "<[fim-prefix]>",
        "<[fim-suffix]>",
        "<[fim-middle]>",
        end="<[end▁of▁sentence]>",
        begin="<[begin▁of▁sentence]>",
        order="suffix-first",
    ),
    _Family("codestral", "[PREFIX]", "[SUFFIX]", None, end="</s>", begin="<s>", order="suffix-first"),
)
_MELLUM = _Family("mellum", *_STARCODER, order="suffix-first")


@dataclass(frozen=True)
class FimFormat:
    """Ids of one family's markers; middle, pad, file_sep, repo_name, end and begin are None where the vocabulary has
    none. order: the one that the family was trained with, one of ORDERS."""

    family: str
    prefix: int
    suffix: int
    middle: int | None
    pad: int | None = None
    file_sep: int | None = None
    repo_name: int | None = None
    end: int | None = None
    begin: int | None = None
    order: str = "psm"

    @classmethod
    def find(cls, special: Mapping[str, int], model_name: str = "") -> "FimFormat | None":
        """The format of a vocabulary from its special literals, or None when it was not trained to fill in.

        model_name: what the model calls itself; it only tells families apart that share all literals (Mellum has those
        of StarCoder, but wants the suffix first).
        """
        families = (_MELLUM, *_FAMILIES) if "mellum" in model_name.lower() else _FAMILIES
        for family in families:
            markers = (family.prefix, family.suffix, *([family.middle] if family.middle else []), *family.needs)
            if not all(marker in special for marker in markers):
                continue
            repo = special.get("<|repo_name|>", special.get("<repo_name>", special.get("<reponame>")))
            ends = (special[e] for e in (family.end, *_END) if e in special)
            return cls(
                family.name,
                special[family.prefix],
                special[family.suffix],
                special.get(family.middle),
                special.get(family.pad),
                special.get(family.separator),
                repo,
                next(ends, None),
                special.get(family.begin),
                family.order,
            )
        return None

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an infilled middle."""
        found = (self.end, self.pad, self.prefix, self.suffix, self.middle, self.file_sep, self.repo_name)
        return frozenset(i for i in found if i is not None)

    def prompt(self, prefix_ids: Sequence[int], suffix_ids: Sequence[int], order: str | None = None) -> list[int]:
        """Ids after which the model writes the middle. order: one of ORDERS, the family's own where it is None. Raises
        ValueError for another, and for one that needs a marker which the vocabulary lacks."""
        order = order or self.order
        if order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, not {order!r}")
        begin = [] if self.begin is None else [self.begin]
        middle = [] if self.middle is None else [self.middle]
        if order == "suffix-first":
            return [*begin, self.suffix, *suffix_ids, self.prefix, *prefix_ids, *middle]
        if not middle:
            raise ValueError(f"{self.family} has no middle marker: order must be suffix-first, not {order!r}")
        if order == "spm":
            return [*begin, self.prefix, self.suffix, *suffix_ids, *middle, *prefix_ids]
        return [*begin, self.prefix, *prefix_ids, self.suffix, *suffix_ids, *middle]
