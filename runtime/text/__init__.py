"""Text to token ids and back: byte-level BPE, its training, its file format, streaming and fill-in-the-middle
formats."""

from runtime.text.bpe import Tokenizer
from runtime.text.fim import FimFormat
from runtime.text.loader import load_tokenizer
from runtime.text.stream import StreamDecoder
from runtime.text.train import SPECIAL_TOKENS, train_bpe

__all__ = ["SPECIAL_TOKENS", "FimFormat", "StreamDecoder", "Tokenizer", "load_tokenizer", "train_bpe"]
