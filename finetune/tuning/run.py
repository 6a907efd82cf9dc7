"""Teaches a model one repository: plan, training with replay and early stop, blend with the base, proof.

RUN/checkpoints, metrics.jsonl, curve.png   of the Trainer; a run that was stopped goes on from there
RUN/model                                   the finished model folder, before it is installed
Knows no terminal; what it has to say goes to a Listener and to progress functions.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

import runtime
from runtime.models.decoder import Decoder
from runtime.tensor.precision import compute

from .. import checkpoint
from ..carets import KINDS, Place, choose
from ..data.sections import sections
from ..data.streams import RowStreams
from ..evaluate import TokenScore
from ..measure import Measurement, Network, measure
from ..pretrain import scorer
from ..settings import TrainSettings
from ..trainer import Listener, Trainer
from ..watch import WatchSettings
from .base import Base, write_model
from .blend import Blend, blend
from .plan import CHAT_RATE, REPLAY, Plan, fim_settings, make_plan
from .repository import General, Repository, chats, general_code, read_repository

CHOOSE_ROWS = 48  # rows of `context` tokens that decide when to stop
PATIENCE = 3  # evaluations without a better one
GENERAL_BYTES, GENERAL_CARETS = 100_000, 40  # of held-out general code, at most

Progress = Callable[[int, int, str], None]


@dataclass
class Tuning:
    """Everything that is known before the first step. documents: what is trained on, sections of files; places:
    held-out carets of the files to judge; general_places: of the general code."""

    repository: Repository
    base: Base
    general: General
    plan: Plan
    documents: list[str]
    talks: list
    places: list[Place]
    general_places: list[Place]
    tokens: dict[str, int]
    seed: int = 0

    @property
    def judged(self) -> list[str]:
        return [file.text for file in self.repository.sides["judge"]]

    @property
    def chosen(self) -> list[str]:
        return [file.text for file in self.repository.sides["choose"]]

    @property
    def seen_before(self) -> int:
        """Files held out to judge that the corpus holds: figures on them would flatter both models."""
        return sum(sha256(text.encode()).hexdigest() in self.general.known for text in self.judged)

    def caret_counts(self) -> dict[str, int]:
        counts = Counter(place.kind for place in self.places)
        return {kind: counts[kind] for kind in KINDS}


def prepare(
    root: str | Path,
    base: Base,
    corpus: str | Path,
    minutes: float = 10.0,
    epochs: int = 3,
    carets: int = 100,
    lr: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tuning:
    """Reads the repository, chooses the general code and the carets, and makes the plan; changes nothing on disk.

    Raises what read_repository, general_code and make_plan raise.
    """
    repository = read_repository(root, progress)
    count = base.tokenizer.encode_array
    tokens = {side: sum(len(count(f.text)) for f in files) for side, files in repository.sides.items()}
    size = sum(file.bytes for file in repository.sides["train"])
    judged = sum(file.bytes for file in repository.sides["judge"])
    general = general_code(corpus, int(size * REPLAY / (1 - REPLAY)), min(judged, GENERAL_BYTES), seed)
    tokens["replay"] = sum(len(count(text)) for text in general.replay)
    texts = [file.text for file in repository.sides["train"]] + general.replay
    rows = min(CHOOSE_ROWS, tokens["choose"] // base.spec.max_context + 1)
    plan = make_plan(base, tokens["train"] + tokens["replay"], minutes, epochs, lr, rows)
    lines = max(60, plan.context // 8)
    return Tuning(
        repository,
        base,
        general,
        plan,
        [part for text in texts for part in sections(text, lines)],
        chats(texts) if base.has_chat else [],
        choose([file.text for file in repository.sides["judge"]], carets, seed),
        choose(general.held_out, min(carets, GENERAL_CARETS), seed) if general.held_out else [],
        tokens,
        seed,
    )


@dataclass
class Run:
    """A Trainer with what it has to beat: the base's loss on the files held out to choose, nats per token."""

    trainer: Trainer
    base_loss: float

    @property
    def best(self) -> tuple[int, float]:
        """(step, loss) of the best evaluation; step 0 is the base."""
        found = self.trainer.watch.best
        return found if found and found[1] < self.base_loss else (0, self.base_loss)

    @property
    def stopped_early(self) -> bool:
        total = self.trainer.schedule.total
        return total is None or self.trainer.step < total


def start(tuning: Tuning, folder: Path, listener: Listener | None = None) -> Run:
    """A run in `folder` that keeps its best checkpoint and stops when no better one comes. Nothing is trained yet."""
    base, plan, seed = tuning.base, tuning.plan, tuning.seed
    model = Decoder(base.spec, weights=base.weights)
    batches = RowStreams(
        tuning.documents,
        base.tokenizer,
        plan.rows,
        plan.context,
        seed,
        fim=fim_settings(base),
        chat=tuning.talks,
        chat_rate=CHAT_RATE if tuning.talks else 0.0,
    )
    settings = TrainSettings(
        **plan.horizon,
        lr=plan.lr,
        min_lr_ratio=0.1,
        warmup=max(1, min(20, plan.steps // 10)),
        weight_decay=0.01,
        precision=plan.precision,
        accumulate=plan.accumulate,
        eval_every=plan.eval_every,
        checkpoint_every=plan.eval_every,
        sample_every=0,
        watch=WatchSettings(patience=PATIENCE),
    )
    evaluate = score_of(model, tuning, tuning.chosen)
    facts = {"tokenizer": base.tokenizer.sha256, "repository": tuning.repository.sha256, "seed": seed}
    facts |= {"base": base.name, "rows": [plan.rows, plan.context]}
    trainer = Trainer(model, batches, settings, folder, evaluate, listener=listener, facts=facts)
    with compute(plan.precision):
        return Run(trainer, evaluate().loss)


def score_of(model: Decoder, tuning: Tuning, texts: list[str]) -> Callable[[], TokenScore]:
    return scorer(model, texts, tuning.base.tokenizer, tuning.plan.rows, tuning.plan.context, CHOOSE_ROWS)


def finish(tuning: Tuning, run: Run, about: dict) -> tuple[Path | None, list[Blend]]:
    """(model folder, the blend that it holds and then all that were tried); no folder if none is better than the base.

    Between the base's weights and those of the best evaluation, see blend.py.
    """
    if not run.best[0]:
        return None, []
    best = checkpoint.load(run.trainer.checkpoints / "best")
    model = Decoder(tuning.base.spec, weights=tuning.base.weights)
    choose = score_of(model, tuning, tuning.chosen)
    general = score_of(model, tuning, tuning.general.choose) if tuning.general.choose else None
    found, tried = blend(
        model, tuning.base.weights, best.weights, lambda: choose().loss, general and (lambda: general().loss)
    )
    if not found.share:
        return None, [found, *tried]
    folder = run.trainer.out / "model"
    shutil.rmtree(folder, ignore_errors=True)
    weights = {name: parameter.data for name, parameter in model.parameters().items()}
    write_model(folder, tuning.base, weights, about | {"share": found.share})
    return folder, [found, *tried]


def clear(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    for name in ("checkpoints", "model"):
        shutil.rmtree(folder / name, ignore_errors=True)


@dataclass(frozen=True)
class Proof:
    """Measurements of one model on the files to judge and on the general code."""

    judged: Measurement
    general: Measurement | None


def prove(tuning: Tuning, folder: Path, name: str, progress: Progress | None = None) -> Proof:
    """Measures the model in `folder` as it is served."""
    model = runtime.load_model(folder)
    network = Network(model, name)
    try:
        judged = measure(network, model, tuning.judged, tuning.places, progress)
        held_out = tuning.general.held_out
        general = measure(network, model, held_out, tuning.general_places, progress) if held_out else None
    finally:
        network.close()
    return Proof(judged, general)


def novel(tuning: Tuning) -> np.ndarray:
    """bool (n,): places whose whole line stands nowhere in the files that were trained on."""
    known = {line.strip() for file in tuning.repository.sides["train"] for line in file.text.split("\n")}
    lines = [place.caret.lines[place.caret.line][: place.caret.column] + place.wanted for place in tuning.places]
    return np.array([line.strip() not in known for line in lines], bool)
