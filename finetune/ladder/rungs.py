"""What a rung consists of: its model, its batches, how it is scored on the held-out text, and what it writes.

Knows no files and no terminal. Character models see the text in characters, the others in subwords (BPE); every model
but the encoder is scored on the same held-out text, so that bits per byte compare across tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from runtime.generate import make_sampler
from runtime.models.bigram import Bigram
from runtime.models.decoder import Decoder
from runtime.models.encoder import Encoder, EncoderSpec
from runtime.models.feed_forward_lm import FeedForwardLM
from runtime.models.gpt import GPT, GPTSpec
from runtime.models.spec import DecoderSpec
from runtime.tensor import no_grad

from ..data.fim import FimSettings
from ..data.masked import Marks, MaskedPairs
from ..data.packing import windows
from ..data.streams import RowStreams
from ..evaluate import TokenScore, score_model, token_lengths
from .recipe import Rung

END = "<|endoftext|>"
SPECIAL_TOKENS = (END, "<|pad|>", "<|cls|>", "<|sep|>", "<|mask|>")
_PROMPT = "def "
_SAMPLE_BYTES = 280
_MASKED_ROWS = 256  # of held-out pairs
_NO_HOLES = FimSettings(rate=0.0)


@dataclass(frozen=True)
class Kind:
    """tokenizer: "characters" or "subwords". sizes: what the recipe says of it. make: (tokenizer, sizes, context, seed)
    -> model. comparable: whether its bits per byte say what the other rungs' say."""

    tokenizer: str
    sizes: tuple[str, ...]
    make: Callable
    comparable: bool = True


def _bigram(tokenizer, sizes: dict, context: int, seed: int) -> Bigram:
    return Bigram(tokenizer.vocab_size)


def _feed_forward(tokenizer, sizes: dict, context: int, seed: int) -> FeedForwardLM:
    return FeedForwardLM(tokenizer.vocab_size, start=tokenizer.special[END], seed=seed, **sizes)


def _gpt(tokenizer, sizes: dict, context: int, seed: int) -> GPT:
    return GPT(GPTSpec(tokenizer.vocab_size, sizes["layers"], sizes["heads"], sizes["width"], context), seed)


def _llama(tokenizer, sizes: dict, context: int, seed: int) -> Decoder:
    width, heads = sizes["width"], sizes["heads"]
    shape = (width, sizes["layers"], heads, sizes["kv_heads"], width // heads, sizes["inner"])
    return Decoder(DecoderSpec(tokenizer.vocab_size, *shape, max_context=context), seed)


def _encoder(tokenizer, sizes: dict, context: int, seed: int) -> Encoder:
    marks = Marks.find(tokenizer.special)
    shape = (sizes["width"], sizes["layers"], sizes["heads"], sizes["inner"])
    return Encoder(EncoderSpec(tokenizer.vocab_size, marks.sep, marks.pad, *shape, max_context=context), seed)


KINDS = {
    "bigram": Kind("characters", (), _bigram),
    "feed-forward": Kind("characters", ("window", "width", "hidden"), _feed_forward),
    "gpt": Kind("subwords", ("layers", "heads", "width"), _gpt),
    "llama": Kind("subwords", ("layers", "heads", "kv_heads", "width", "inner"), _llama),
    "encoder": Kind("subwords", ("layers", "heads", "width", "inner"), _encoder, comparable=False),
}


class RungRun:
    """Model, batches, score and sample of one rung. train, val: texts; tokenizer: the one that its kind asks for."""

    def __init__(self, rung: Rung, tokenizer, train: Sequence[str], val: Sequence[str], seed: int) -> None:
        self.rung, self.tokenizer, self.seed = rung, tokenizer, seed
        self.kind = KINDS[rung.kind]
        self.model = self.kind.make(tokenizer, rung.sizes, rung.context, seed)
        self._lengths = token_lengths(tokenizer)
        B, T = rung.batch, rung.context
        if rung.kind == "encoder":
            self.batches = MaskedPairs(train, tokenizer, B, T, seed)
            held = MaskedPairs(val, tokenizer, B, T, seed=0)
            self._held = list(islice(held, max(1, min(_MASKED_ROWS, len(held.pairs)) // B)))
        else:
            self.batches = RowStreams(train, tokenizer, B, T, seed, fim=_NO_HOLES)
            self._held = [(ids, targets) for ids, targets, _ in windows(val, tokenizer, B, T)]

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return sum(p.data.size for p in self.model.parameters().values())

    def evaluate(self) -> TokenScore:
        """On the held-out text; for the encoder on the masked tokens of its pairs."""
        return score_model(self.model, self._held, self._lengths)

    @no_grad()
    def sample(self) -> str:
        """Some bytes that the model writes after a prompt; of an encoder, held-out lines with its guesses."""
        return self._guesses() if self.rung.kind == "encoder" else self._continuation()

    def _continuation(self) -> str:
        draw = make_sampler(temperature=0.8, top_k=40, seed=self.seed)
        end = self.tokenizer.special[END]
        allowed = np.setdiff1d(np.arange(self.tokenizer.vocab_size), list(self.tokenizer.special.values()))
        ids = [end, *self.tokenizer.encode(_PROMPT)]
        while len(self.tokenizer.decode_bytes(ids[1:])) < _SAMPLE_BYTES:
            seen = np.array([ids[-self.rung.context :]], np.int32)
            ids.append(draw(self.model.logits(seen).data[0, -1], allowed)[0])
        return self.tokenizer.decode(ids[1:])

    def _guesses(self) -> str:
        """The first held-out row with [guess] where it is right and [guess|truth] where it is not."""
        inputs, targets = (rows[:1] for rows in self._held[0])
        best = self.model.logits(inputs).data[0].argmax(axis=1)
        marks = Marks.find(self.tokenizer.special)
        parts = []
        for id, target, guess in zip(inputs[0].tolist(), targets[0].tolist(), best.tolist(), strict=True):
            if target >= 0:
                shown = _visible(self.tokenizer.decode([guess]))
                truth = _visible(self.tokenizer.decode([target]))
                parts.append(f"[{shown}]" if guess == target else f"[{shown}|{truth}]")
            elif id not in (marks.cls, marks.sep, marks.pad):
                parts.append(self.tokenizer.decode([id]))
        return "".join(parts)


def _visible(text: str) -> str:
    """A token without the white space that would hide it, unless it is nothing else."""
    return text.strip() or repr(text)[1:-1]
