"""Model: a decoder with its tokenizer, ready to score, complete and fill in. `load_model` finds and reads it.

The Model answers one caller at a time on the caller's thread; `runtime.Engine` serves many with priorities. What the
prompt of a completion should contain (windows of the file, other files) is not known here, only how it becomes ids.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import native_kernels as nk
from runtime.adapters import Adapter, Shelf, load_adapter
from runtime.encoder_model import EncoderModel, load_encoder
from runtime.engine.cache import CacheStore
from runtime.engine.draft_model import ModelDrafter
from runtime.engine.generation import Generation
from runtime.engine.network import Network
from runtime.engine.speculation import Cost, Drafter, LookupDrafter
from runtime.files import limits
from runtime.files.errors import FormatError
from runtime.files.hf_config import own_section
from runtime.files.packed import PackedWeights
from runtime.files.tensors import WeightFile
from runtime.folders import models_folder
from runtime.generate import Chooser, Constraint, Matcher, Piece, Sampling, compile_grammar
from runtime.models.families import open_model
from runtime.models.sources import CanonicalWeights
from runtime.models.spec import DecoderSpec
from runtime.prompts import Draft, Prompt, PromptWriter
from runtime.text import FimFormat, load_tokenizer

EMBEDDED = Path(__file__).parent / "embedded"
WEIGHTS = ("auto", "f32", "bf16", "q8_0", "q4_0")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


@dataclass(frozen=True)
class Infill:
    """Result of `Model.infill`: text between prefix and suffix, its ids, their log-probabilities, `timing` in ms."""

    text: str
    ids: list[int]
    logprobs: list[float]
    timing: dict

    def __str__(self) -> str:
        return self.text


class Model:
    """config: the Hugging Face config; spec: its DecoderSpec; tokenizer: Tokenizer or None; name: for people."""

    def __init__(self, name: str, config: dict, spec: DecoderSpec, tokenizer, network: Network) -> None:
        self.name, self.config, self.spec, self.tokenizer, self.network = name, config, spec, tokenizer, network
        self.fim = FimFormat.find(tokenizer.special, name) if tokenizer else None
        own_order = "spm" if own_section(config).get("fim_order") == "spm" else None
        self.fim_order = own_order or (self.fim.order if self.fim else "psm")
        self._writer = PromptWriter(tokenizer, self.fim, self.fim_order, network.check_ids, name)
        self.stop_ids = self._stop_ids()
        self.adapters = Shelf(lambda path, key: load_adapter(path, config, spec, network.weight, key))
        self._store = CacheStore(network, 2 * network.cache_bytes)
        self._lock = threading.Lock()
        self._cost = Cost()  # of checking guesses

    def _stop_ids(self) -> frozenset[int]:
        declared = self.config.get("eos_token_id")
        ids = {i for i in (declared if isinstance(declared, list) else [declared]) if type(i) is int}
        if self.tokenizer:
            ids |= {self.tokenizer.special[t] for t in ("<|endoftext|>", "<|im_end|>") if t in self.tokenizer.special}
        return frozenset(ids | (self.fim.stop_ids if self.fim else set()))

    # ---- scores ------------------------------------------------------------------------------------------------

    def logits(self, ids: Sequence[int], adapter=None) -> np.ndarray:
        """float32 (T, vocab): scores after each id of the whole sequence, without a cache. No BOS is added.

        adapter: see `generate`. ValueError if ids are empty, outside the vocabulary or longer than the context.
        """
        return self.network.whole(ids, self.adapters.get(adapter))[0]

    def hidden(self, ids: Sequence[int], mask=None, token_types=None, adapter=None) -> np.ndarray:
        """float32 (T, d): states after the final norm. A decoder has no mask and no token types: both must be None."""
        if mask is not None or token_types is not None:
            raise ValueError("mask and token_types belong to encoders; this model is a decoder")
        return self.network.whole(ids, self.adapters.get(adapter))[1]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings belong to encoder models; a decoder refuses with ValueError."""
        raise ValueError(f"the model {self.name!r} is a decoder: it has no pooled embeddings")

    # ---- prompts -----------------------------------------------------------------------------------------------

    def draft(self, source) -> Draft:
        """A text, ids, or a pair (prefix, suffix) of texts to fill in between, encoded but not yet cut."""
        return self._writer.write(source)

    def room(self, max_tokens: int) -> int:
        """Ids that a prompt may have beside `max_tokens` new ones."""
        capacity = self.network.capacity
        return capacity - min(max_tokens - 1, capacity // 4)  # the last new id is never fed back: it needs no position

    def prompt(self, source, max_tokens: int) -> Prompt:
        """Prompt of a text, of ids, or of a pair (prefix, suffix) of texts to fill in between.

        What does not fit beside `max_tokens` new ids is cut at the start (of a suffix: at its end) and said in `cut`.
        """
        return self.draft(source).fit(self.room(max_tokens))

    # ---- choice of tokens --------------------------------------------------------------------------------------

    def check_sampling(self, options: Sampling) -> None:
        """ValueError if the options do not fit this model. What they need of the vocabulary is made here, once."""
        beyond = [id for id in options.logit_bias if id >= self.spec.vocab_size]
        if beyond:
            raise ValueError(f"logit_bias names id {beyond[0]}, outside the vocabulary of {self.spec.vocab_size}")
        if options.grammar is not None:
            if self.tokenizer is None:
                raise ValueError(f"the model {self.name!r} has no tokenizer: it cannot follow a grammar")
            _ = self._writer.index().trie
        if options.dry_multiplier:
            self._breakers(options)

    def _breakers(self, options: Sampling) -> frozenset[int]:
        texts = tuple(text.encode() for text in options.dry_breakers)
        return self._writer.index().containing(texts) if self.tokenizer and texts else frozenset()

    def chooser(self, prompt: Prompt, options: Sampling) -> Chooser:
        """What chooses the tokens of one request."""
        matcher = None if options.grammar is None else Matcher(compile_grammar(options.grammar))
        index = self._writer.index() if matcher is not None else None
        constraint = Constraint(self.tokenizer, self.stop_ids, prompt.healer, matcher, index)
        return Chooser(
            options, prompt.ids, constraint, self._breakers(options) if options.dry_multiplier else frozenset()
        )

    def drafter(
        self, options: Sampling, speculation=None, workspace=None, draft: Model | None = None
    ) -> Drafter | None:
        """Who guesses tokens ahead for one request: None; speculation="lookup" in the prompt, the text and `workspace`
        (a text, or several); or a smaller model with the same vocabulary. ValueError for anything else."""
        if speculation not in (None, "lookup"):
            raise ValueError(f"speculation must be None or 'lookup', got {speculation!r}")
        if draft is not None:
            if speculation is not None:
                raise ValueError("give either speculation or a draft model")
            if not self._same_vocabulary(draft):
                raise ValueError(f"the draft model {draft.name!r} has another vocabulary than {self.name!r}")
            return ModelDrafter(draft.network, options, self.spec.vocab_size, self._cost)
        if speculation is None:
            if workspace is not None:
                raise ValueError("a workspace needs speculation='lookup'")
            return None
        texts = [workspace] if isinstance(workspace, str) else list(workspace or ())
        if texts and self.tokenizer is None:
            raise ValueError(f"the model {self.name!r} has no tokenizer: it cannot read a workspace")
        return LookupDrafter(self.spec.vocab_size, [self.tokenizer.encode_array(text) for text in texts], self._cost)

    def _same_vocabulary(self, other: Model) -> bool:
        ours, theirs = self.tokenizer, other.tokenizer
        if ours is None or theirs is None:
            return ours is theirs and self.spec.vocab_size == other.spec.vocab_size
        if ours.vocab_size != theirs.vocab_size or ours.special != theirs.special:
            return False
        return ours is theirs or all(ours.token_bytes(i) == theirs.token_bytes(i) for i in range(ours.vocab_size))

    def load_adapter(self, path: str | os.PathLike, name: str | None = None) -> Adapter:
        """Read a PEFT folder or a GGUF adapter and keep it under a name (its folder's or file's) for `adapter=`.

        `adapters.names` and `adapters.remove(name)` tell and forget them. FileNotFoundError; FormatError for adapters
        that are no LoRA, rsLoRA or DoRA, or that do not fit this model.
        """
        return self.adapters.load(path, name)

    # ---- text --------------------------------------------------------------------------------------------------

    def generate(
        self,
        prompt_or_ids,
        max_tokens: int = 128,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        grammar=None,
        adapter=None,
        *,
        speculation: str | None = None,
        workspace: str | Sequence[str] | None = None,
        draft: Model | None = None,
        **more,
    ) -> Iterator[Piece]:
        """Continue a text or ids, piece by piece (logprob: natural log under the model's own distribution).

        grammar: GBNF text or a JSON schema (dict) that the text will fit. speculation, workspace, draft: see `drafter`;
        they change the time, not the text (its distribution, where it is drawn). more: the other fields of
        `runtime.generate.Sampling`. Stop strings are not emitted. ValueError for arguments out of range.
        adapter: a path (PEFT folder or GGUF adapter), a name or Adapter of `Model.load_adapter`, or several in a list,
        each alone or as (adapter, factor). FileNotFoundError, FormatError for what cannot be used with this model.
        """
        options = Sampling(max_tokens, temperature, top_k, top_p, min_p, seed, stop, grammar, **more)
        self.check_sampling(options)
        drafter = self.drafter(options, speculation, workspace, draft)
        prompt = self.prompt(prompt_or_ids, options.max_tokens)
        return self._pieces(prompt, options, {}, drafter, self.adapters.get(adapter))

    def infill(
        self,
        prefix: str,
        suffix: str,
        max_tokens: int = 64,
        stop: Sequence[str] = (),
        *,
        adapter=None,
        speculation: str | None = None,
        workspace: str | Sequence[str] | None = None,
        draft: Model | None = None,
        **sampling,
    ) -> Infill:
        """Text between `prefix` and `suffix` in the model's own format; a caret inside a token is healed."""
        options = Sampling(max_tokens=max_tokens, stop=stop, **sampling)
        self.check_sampling(options)
        drafter = self.drafter(options, speculation, workspace, draft)
        timing: dict = {}
        prompt = self.prompt((prefix, suffix), options.max_tokens)
        pieces = list(self._pieces(prompt, options, timing, drafter, self.adapters.get(adapter)))
        text = "".join(piece.text for piece in pieces)
        return Infill(text, [piece.id for piece in pieces], [piece.logprob for piece in pieces], timing)

    def _pieces(
        self, prompt: Prompt, options: Sampling, timing: dict, drafter: Drafter | None, adapter: Adapter | None
    ) -> Iterator[Piece]:
        with self._lock:
            taken = self._store.acquire(prompt.ids, len(prompt.ids) + options.max_tokens, adapter=adapter)
        try:
            run = Generation(self._store, prompt, self.chooser(prompt, options), *taken, drafter=drafter)
            while run.finish_reason is None:
                yield from run.advance()
            run.timing.total_ms = run.timing.prefill_ms + run.timing.decode_ms
            timing.update(run.timing.as_dict())
        finally:
            with self._lock:
                self._store.release(taken[0])


def find_model(path_or_name: str | os.PathLike | None) -> Path:
    """Folder or .gguf file of a model: the embedded one for None or "default", else a path, else an installed name.

    A folder without config.json stands for the one GGUF in it.
    """
    if path_or_name is None or str(path_or_name) == "default":
        return EMBEDDED
    path = Path(path_or_name).expanduser()
    if path.is_file():
        if path.suffix == ".gguf":
            return path
        message = "give a .gguf file, or the folder that holds config.json and *.safetensors"
        raise FormatError("unsupported_model", path, None, message)
    installed = isinstance(path_or_name, str) and _NAME.match(path_or_name) and models_folder() / path_or_name
    for folder in (path, installed):
        if folder and folder.is_dir():
            inside = [] if (folder / "config.json").is_file() else sorted(folder.glob("*.gguf"))
            return inside[0] if inside and (len(inside) == 1 or "-00001-of-" in inside[0].name) else folder
    raise FileNotFoundError(
        f"no model {str(path_or_name)!r}: neither a folder, nor a .gguf file, nor the name of an installed model"
    )


def with_served_context(spec: DecoderSpec, path: str | os.PathLike) -> DecoderSpec:
    """The spec with as many positions as its tables and one cache may take (runtime/files/limits.py).

    A learned table of positions stays whole. FormatError if not even 32 positions fit.
    """
    cache = limits.CACHE_BYTES // (8 * spec.n_layers * spec.kv_width)
    fitting = min(spec.max_context, limits.POSITIONS, limits.ROTARY_BYTES // (4 * spec.head_dim), cache)
    if fitting < min(spec.max_context, 32):
        raise FormatError("too_large", path, None, f"{limits.CACHE_BYTES >> 20} MiB hold only {fitting} positions")
    return spec if spec.positions == "learned" else replace(spec, max_context=fitting)


def load_model(
    path_or_name: str | os.PathLike | None = None,
    threads: int | None = None,
    weights: str = "auto",
    kv_type: str = "auto",
) -> Model | EncoderModel:
    """Load a folder with config.json and *.safetensors, a .gguf file, an installed model, or the embedded one (None).

    An encoder (runtime/encoder_model.py) is an EncoderModel.

    weights: "auto" (as stored: quantised and 16-bit matrices stay what they are), "f32" (exact, float32 arithmetic),
    "bf16", "q8_0", "q4_0" (matrices in that type). kv_type: of caches: "f32", "f16", "q8_0", or "auto" (f32 beside
    weights that are all computed with as float32, else f16). threads: for all models of the process. A declared
    context above the bounds of runtime/files/limits.py is shortened in `spec`. Raises FileNotFoundError, FormatError,
    ValueError.
    """
    if threads is not None:
        nk.set_threads(threads)
    path = find_model(path_or_name)
    encoder = load_encoder(path, weights)
    if encoder is not None:
        return encoder
    stored = open_model(path)
    spec = with_served_context(stored.spec, path)
    tokenizer = load_tokenizer(path) if has_tokenizer(path, stored.weights.file) else None
    if tokenizer is not None and tokenizer.vocab_size > spec.vocab_size:
        message = f"the tokenizer has {tokenizer.vocab_size} entries, the model only {spec.vocab_size}"
        raise FormatError("vocabulary", path, None, message)
    packed = partial(PackedWeights, stored.weights.file)
    precision = _precision(weights, stored.config)
    if kv_type == "auto":
        plain = precision == "f32" or (precision == "auto" and _all_float32(stored.weights, spec))
        kv_type = "f32" if plain else "f16"
    network = Network(spec, stored.weights, precision, kv_type=kv_type, packed=packed)
    name = "embedded" if path == EMBEDDED else path.stem if path.suffix == ".gguf" else path.name
    return Model(name, stored.config, spec, tokenizer, network)


def _precision(weights: str, config: dict) -> str:
    """What Network is asked for: a model of our own says what "auto" means for it."""
    return "q8_0" if weights == "auto" and own_section(config).get("precision") == "q8_0" else weights


def _all_float32(weights: CanonicalWeights, spec: DecoderSpec) -> bool:
    return all(weights.type(name) == "F32" for name in spec.matrix_names())


def has_tokenizer(path: Path, file: WeightFile) -> bool:
    """Whether a tokenizer lies in this model folder or GGUF file."""
    if file.is_gguf:
        return file.metadata.text("tokenizer.ggml.model", "no_vocab") != "no_vocab"
    return any((path / name).is_file() for name in _TOKENIZERS)
