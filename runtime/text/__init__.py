"""Text to token ids and back: byte-level BPE, Unigram, words, characters; their training, their file format, streaming
and fill-in-the-middle formats."""

from runtime.text.base import BaseTokenizer
from runtime.text.bpe import Tokenizer
from runtime.text.fim import FimFormat
from runtime.text.loader import load_tokenizer
from runtime.text.lookup import LookupTokenizer
from runtime.text.lookup_train import train_characters, train_words
from runtime.text.spm import SentencePieceTokenizer
from runtime.text.stream import StreamDecoder
from runtime.text.train import SPECIAL_TOKENS, train_bpe
from runtime.text.unigram import UnigramTokenizer
from runtime.text.unigram_train import train_unigram
from runtime.text.wordpiece import WordPieceTokenizer

__all__ = [
    "SPECIAL_TOKENS",
    "BaseTokenizer",
    "FimFormat",
    "LookupTokenizer",
    "SentencePieceTokenizer",
    "StreamDecoder",
    "Tokenizer",
    "UnigramTokenizer",
    "WordPieceTokenizer",
    "load_tokenizer",
    "train_bpe",
    "train_characters",
    "train_unigram",
    "train_words",
]
