"""Trains the rungs one after another, each by the one Trainer, and keeps what is done: a stopped run goes on.

OUT/ladder.json                       what the run was begun with; a resume with other settings is refused
OUT/{characters,subwords}.json        the tokenizers            OUT/text/   the corpus, if one had to be built
OUT/1-NAME/{checkpoints/, metrics.jsonl, curve.png}   see trainer.py
OUT/1-NAME/result.json                the rung's row of the table: it is finished and not trained again
OUT/{results.json, ladder.png}        table and picture
Knows no terminal: what there is to say goes to listeners.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from runtime.files.atomic import atomic_write_text
from runtime.files.reader import read_json

from .. import checkpoint
from ..settings import TrainingError
from ..trainer import Trainer
from .recipe import Ladder, Rung
from .rungs import KINDS, RungRun
from .text import LadderText, floors

MARK = "ladder.json"


def check_folder(out: Path, resume: bool) -> None:
    """Before anything is written: TrainingError for a run where none is wanted, and none where one is to go on."""
    if (out / MARK).is_file() and not resume:
        raise TrainingError(f"{out} holds a run already: continue it with --resume or choose another --out")
    if resume and not (out / MARK).is_file():
        raise TrainingError(f"nothing to resume: {out} holds no ladder")


def rung_folder(out: Path, number: int, rung: Rung) -> Path:
    """Number counts from 1."""
    return out / f"{number}-{rung.name}"


class LadderRun:
    """One ladder in the folder `out`. stop() ends it after the step that is running; run() again goes on.

    listener: () -> (context manager that gives a) Listener for one rung.
    """

    def __init__(self, ladder: Ladder, text: LadderText, tokenizers: dict, out: str | os.PathLike, listener: Callable):
        self.ladder, self.text, self.tokenizers, self.out = ladder, text, tokenizers, Path(out)
        self.listener = listener
        self.stopping = False
        self._trainer: Trainer | None = None

    def stop(self) -> None:
        """Finish the step and return from run(); safe to call from a signal handler."""
        self.stopping = True
        if self._trainer is not None:
            self._trainer.stop()

    def begin(self) -> None:
        """Write ladder.json, or check that the run there was begun with the same; TrainingError names what differs."""
        facts = json.loads(json.dumps(self._facts()))
        path = self.out / MARK
        if not path.is_file():
            self.out.mkdir(parents=True, exist_ok=True)
            atomic_write_text(path, json.dumps(facts, indent=1))
            return
        before = read_json(path, "ladder")
        for key, value in facts.items():
            if before.get(key) != value:
                raise TrainingError(f"the run in {self.out} was begun with another {key}: choose another --out")

    def _facts(self) -> dict:
        hashes = {name: tokenizer.sha256 for name, tokenizer in self.tokenizers.items()}
        facts = {"name": self.ladder.name, "seed": self.ladder.seed, "text": self.text.sha256, "tokenizers": hashes}
        return facts | {f"rung {rung.name}": asdict(rung) for rung in self.ladder.rungs}

    def run(self) -> dict | None:
        """Train what is not finished. Returns the table (see `results`), None if it was stopped."""
        rows = []
        for number, rung in enumerate(self.ladder.rungs, 1):
            done = rung_folder(self.out, number, rung) / "result.json"
            if not done.is_file() and not self.stopping:
                row = self._climb(number, rung)
                if row is not None:
                    atomic_write_text(done, json.dumps(row, indent=1, ensure_ascii=False))
            if not done.is_file():
                return None
            rows.append(read_json(done, "rung"))
        return self._results(rows)

    def _results(self, rows: list[dict]) -> dict:
        sizes = {
            side: sum(len(t.encode("utf-8", "surrogatepass")) for t in getattr(self.text, side))
            for side in ("train", "val")
        }
        text = {"source": self.text.source, "train_bytes": sizes["train"], "val_bytes": sizes["val"]}
        table = {"ladder": self.ladder.name, "text": text, "floors": floors(self.text), "rungs": rows}
        table["seconds"] = sum(row["seconds"] for row in rows)
        atomic_write_text(self.out / "results.json", json.dumps(table, indent=1, ensure_ascii=False))
        return table

    def _climb(self, number: int, rung: Rung) -> dict | None:
        """Train one rung, from its last checkpoint if there is one. Its row, or None if it was stopped."""
        kind = KINDS[rung.kind]
        tokenizer = self.tokenizers[kind.tokenizer]
        folder = rung_folder(self.out, number, rung)
        with self.listener() as listener:
            listener.note(f"rung {number} of {len(self.ladder.rungs)}: {rung.name}")
            parts = RungRun(rung, tokenizer, self.text.train, self.text.val, self.ladder.seed)
            facts = {"text": self.text.sha256, "tokenizer": tokenizer.sha256, "sizes": rung.sizes}
            trainer = Trainer(
                parts.model, parts.batches, rung.train, folder, parts.evaluate, listener=listener, facts=facts
            )
            if checkpoint.latest(trainer.checkpoints):
                trainer.resume()
            self._trainer = trainer
            if self.stopping:
                return None
            score = trainer.run()
            self._trainer = None
            if self.stopping and trainer.step < trainer.schedule.total:
                return None
            score = score or parts.evaluate()
            sample = parts.sample()
        read = trainer.step * rung.batch * rung.context  # the encoder has targets at some of them only
        return {
            "name": rung.name,
            "kind": rung.kind,
            "parameters": parts.parameters,
            "tokenizer": kind.tokenizer,
            "vocab_size": tokenizer.vocab_size,
            "steps": trainer.step,
            "tokens": read,
            "seconds": round(trainer.seconds, 2),
            "tokens_per_second": round(read / trainer.seconds),
            "perplexity": score.perplexity,
            "bits_per_byte": score.bits_per_byte,
            "comparable": kind.comparable,
            "scored_bytes": score.bytes,
            "sample": sample,
        }
