"""Fill-in-the-middle formats (Bavarian et al. 2022): which special tokens a vocabulary has and how a prompt is
written with them.

PSM: PRE prefix SUF suffix MID.  SPM: PRE SUF suffix MID prefix (the paper's "SPMv2": the middle continues the
prefix directly). Works on ids only: what the prefix and the suffix should contain is not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_END = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "</s>", "<|end_of_text|>")
# family, prefix, suffix, middle, padding, separator of files, end of text: the first with all three markers wins
_FAMILIES = (
    ("qwen", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|file_sep|>", "<|endoftext|>"),
    ("starcoder", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<file_sep>", "<|endoftext|>"),
    ("santacoder", "<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<fim-pad>", "", "<|endoftext|>"),
    ("codellama", "▁<PRE>", "▁<SUF>", "▁<MID>", "", "", "▁<EOT>"),
    ("deepseek", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "", "", "<｜end▁of▁sentence｜>"),
)


@dataclass(frozen=True)
class FimFormat:
    """Ids of one family's markers; pad, file_sep, repo_name and end are None where the vocabulary has none."""

    family: str
    prefix: int
    suffix: int
    middle: int
    pad: int | None = None
    file_sep: int | None = None
    repo_name: int | None = None
    end: int | None = None

    @classmethod
    def find(cls, special: Mapping[str, int]) -> "FimFormat | None":
        """The format of a vocabulary from its special literals, or None when it was not trained to fill in."""
        for family, pre, suf, mid, pad, sep, end in _FAMILIES:
            if pre in special and suf in special and mid in special:
                repo = special.get("<|repo_name|>", special.get("<repo_name>", special.get("<reponame>")))
                ends = (special[e] for e in (end, *_END) if e in special)
                return cls(
                    family,
                    special[pre],
                    special[suf],
                    special[mid],
                    special.get(pad),
                    special.get(sep),
                    repo,
                    next(ends, None),
                )
        return None

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an infilled middle."""
        found = (self.end, self.pad, self.prefix, self.suffix, self.middle, self.file_sep, self.repo_name)
        return frozenset(i for i in found if i is not None)

    def prompt(self, prefix_ids: Sequence[int], suffix_ids: Sequence[int], order: str = "spm") -> list[int]:
        """Ids after which the model writes the middle. order: "spm" (suffix first) or "psm". Raises ValueError for
        another."""
        if order == "spm":
            return [self.prefix, self.suffix, *suffix_ids, self.middle, *prefix_ids]
        if order == "psm":
            return [self.prefix, *prefix_ids, self.suffix, *suffix_ids, self.middle]
        raise ValueError(f'order must be "spm" or "psm", not {order!r}')
