"""Puts a pre-training run together: corpus + tokenizer + recipe -> Trainer, and the files that the run folder keeps.

RUN/run.json         recipe, corpus summary, tokenizer hash (what export and the card need)
RUN/tokenizer.json   the tokenizer of the run
RUN/samples.txt      what the model continues, now and then
RUN/left-N/          what came after the checkpoint that the run went back to by --from, up to step N
RUN/{checkpoints/, metrics.jsonl, curve.png}   see trainer.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from runtime.files.atomic import atomic_write_bytes, atomic_write_text
from runtime.files.reader import read_json
from runtime.generate import make_sampler
from runtime.models.decoder import Decoder
from runtime.tensor import no_grad

from . import horizon
from .data.corpus import Corpus, load_corpus
from .data.packing import windows
from .data.phases import Phases, PhaseSettings, phase_seed
from .data.prefetch import Prefetch
from .data.sections import sections
from .data.streams import RowStreams
from .evaluate import TokenScore, score_model, token_lengths
from .recipe import Recipe
from .trainer import Listener, Trainer, TrainingError

_PROMPTS = ("def read_json(path):\n    ", "class Stack:\n    def __init__(self", "import os\nimport sys\n\ndef main(")
_SAMPLE_TOKENS = 48


def prepare(
    recipe: Recipe,
    corpus_folder: str | os.PathLike,
    out: str | os.PathLike,
    listener: Listener | None = None,
) -> Trainer:
    """A Trainer ready to run(). Raises TrainingError, FormatError, FileNotFoundError with a sentence for the user."""
    corpus = load_corpus(corpus_folder)
    tokenizer = corpus.tokenizer()
    if tokenizer.vocab_size != recipe.model.vocab_size:
        raise TrainingError(
            f"the tokenizer has {tokenizer.vocab_size} entries, the recipe's model {recipe.model.vocab_size}"
        )
    texts = [document.text for document in corpus.documents("train")]
    if not any(texts):
        raise TrainingError(f"the corpus in {corpus_folder} has no training documents")
    batches = Prefetch(Phases(recipe.data.phases, partial(rows, texts, corpus, tokenizer, recipe.seed)))
    model = Decoder(recipe.model, seed=recipe.seed)
    out = Path(out)
    facts = {"tokenizer": tokenizer.sha256, "corpus": corpus.sha256, "seed": recipe.seed}
    facts |= {"model": asdict(recipe.model)}
    trainer = Trainer(
        model,
        batches,
        recipe.train,
        out,
        evaluate=validation(model, corpus, tokenizer, recipe),
        sample=sampler(model, tokenizer, out / "samples.txt", listener or Listener()),
        listener=listener,
        facts=facts,
    )
    if not trainer.checkpoints.exists():
        run = {"recipe": recipe.to_dict(), "corpus": corpus.manifest.summary, "tokenizer_sha256": tokenizer.sha256}
        atomic_write_text(out / "run.json", json.dumps(run, indent=1, ensure_ascii=False))
        atomic_write_bytes(out / "tokenizer.json", (corpus.folder / "tokenizer.json").read_bytes())
    return trainer


def resume(trainer: Trainer, which: str = "latest", move_horizon: bool = False) -> None:
    """Trainer.resume(), then the settings' horizon in place of the checkpoint's, if asked; run.json follows it."""
    trainer.resume(which)
    if move_horizon:
        horizon.move(trainer)
        path = trainer.out / "run.json"
        about = read_json(path, "run", max_depth=24)
        about["recipe"]["train"] |= {"steps": trainer.schedule.total, "minutes": None}
        atomic_write_text(path, json.dumps(about, indent=1, ensure_ascii=False))


def rows(texts: list[str], corpus: Corpus, tokenizer, seed: int, number: int, phase: PhaseSettings) -> RowStreams:
    """The batches of one phase: documents cut into sections, dealt out to its rows."""
    documents = [part for text in texts for part in sections(text, phase.section_lines)]
    chat = corpus.chat("train") if phase.chat_rate else []
    options = {"fim": phase.fim, "chat": chat, "chat_rate": phase.chat_rate}
    return RowStreams(documents, tokenizer, phase.batch, phase.context, phase_seed(seed, number), **options)


def validation(model, corpus: Corpus, tokenizer, recipe: Recipe):
    """() -> TokenScore on sections of validation files, the same rows every time; None without such files.

    Rows have the first phase's context throughout, so that the curve of a run with later phases stays comparable.
    """
    texts = [part for d in corpus.documents("val") for part in sections(d.text, recipe.data.section_lines)]
    if not texts:
        return None
    order = np.random.default_rng(0).permutation(len(texts))
    rows = -(-recipe.data.batch // recipe.train.accumulate)
    return scorer(model, [texts[i] for i in order], tokenizer, rows, recipe.data.context, recipe.eval_rows)


def scorer(model, texts: list[str], tokenizer, rows: int, context: int, max_windows: int) -> Callable[[], TokenScore]:
    """() -> TokenScore of `model`, with the weights that it holds at the time, on the same windows of texts."""
    found = windows(texts, tokenizer, rows, context, max_windows=max_windows)
    fixed = [(ids, targets) for ids, targets, _ in found]
    return partial(score_model, model, fixed, token_lengths(tokenizer))


def sampler(model, tokenizer, path: Path, listener: Listener):
    """(step) -> None: greedy continuations of fixed prompts, appended to `path`; the first one is also shown."""
    draw = make_sampler()
    end = tokenizer.special["<|endoftext|>"]

    @no_grad()
    def sample(step: int) -> None:
        texts = []
        for prompt in _PROMPTS:
            ids = [end, *tokenizer.encode(prompt)]
            for _ in range(min(_SAMPLE_TOKENS, model.spec.max_context - len(ids))):
                scores = model.logits(np.array([ids], np.int32)).data[0, -1]
                ids.append(draw(scores)[0])
                if ids[-1] == end:
                    break
            texts.append(tokenizer.decode(ids[1:], skip_special=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            for text in texts:
                file.write(f"---- step {step}\n{text}\n")
        listener.note(f"step {step} continues:\n{texts[0]}")

    return sample
