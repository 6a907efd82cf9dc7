"""StreamDecoder: text of ids that arrive one by one, never half a character. Knows nothing about the model that
makes them."""

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.text.base import BaseTokenizer


class StreamDecoder:
    """Bytes of a character that spans tokens are held back until it is whole; what can never become a character is
    U+FFFD.

    The pieces of feed() and the final flush() joined are exactly tokenizer.decode(ids, skip_special).
    """

    def __init__(self, tokenizer: "BaseTokenizer", skip_special: bool = False):
        self._tokenizer = tokenizer
        self._skip = frozenset(tokenizer.special_ids) if skip_special else frozenset()
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._chain = tokenizer.new_chain()
        self._begun = False

    def feed(self, id: int) -> str:
        """Text that became certain with this id, possibly "". Ids beyond the vocabulary (padding rows of a model)
        give nothing."""
        if id in self._skip or id >= self._tokenizer.vocab_size:
            return ""
        if self._chain is not None:
            return self._chain.feed(self._tokenizer.token_text(id))
        data = self._tokenizer.token_bytes(id) if self._begun else self._tokenizer.first_token_bytes(id)
        self._begun = self._begun or bool(data) or not self._tokenizer.drops_until_text
        return self._utf8.decode(data)

    def flush(self) -> str:
        """The rest: U+FFFD if a character was cut off. The decoder may be used again afterwards."""
        if self._chain is not None:
            text, self._chain = self._chain.end(), self._tokenizer.new_chain()
            return text
        text = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        self._begun = False
        return text
