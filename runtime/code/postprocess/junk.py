"""Rule: nothing that is not source code survives: literal special tokens, control characters, half characters.

Pure text in, text out. Special tokens of any family are cut by their shape, so that a wrong marker never reaches a
file.
"""

import re

# <|fim_middle|> and relatives, DeepSeek's full-width bars, StarCoder's <fim_middle>, CodeLlama's <EOT> and </s>
_SPECIAL = re.compile(r"<[|｜][\w▁ -]{1,40}[|｜]>|<(?:fim_\w+|EOT|PRE|SUF|MID|file_sep|repo_name|endoftext)>|</s>")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\ud800-\udfff]")


def cut_junk(text: str) -> str:
    """`text` up to the first special token, control character or broken character, with ``\\n`` line ends."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for pattern in (_SPECIAL, _CONTROL):
        found = pattern.search(text)
        if found:
            text = text[: found.start()]
    return text
