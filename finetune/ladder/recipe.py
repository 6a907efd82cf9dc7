"""The recipe of a ladder: a TOML file with `kind = "ladder"`, the text for all rungs and one [[rung]] each.

Top level: name, seed, minutes (what all the steps take on two cores: --minutes scales them), evaluations (of each rung,
for its curve). [text]: see TextSettings.
[[rung]]: name, context (tokens a row), batch (rows a step), [rung.model] with a `kind` and its sizes, [rung.train] as
in other recipes. Unknown keys are errors.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..recipe import RecipeError, build
from ..settings import TrainSettings


@dataclass(frozen=True)
class TextSettings:
    """train_mb, val_kb: text to learn from and held-out text, in 10^6 and 10^3 bytes. section_lines: see data/sections.

    characters, subwords: entries of the two vocabularies; subwords are learnt from the first subwords_mb.
    """

    train_mb: float = 16.0
    val_kb: float = 200.0
    section_lines: int = 60
    characters: int = 384
    subwords: int = 2048
    subwords_mb: float = 4.0

    def __post_init__(self) -> None:
        for key, value in asdict(self).items():
            if not 0 < value < 1e5:
                raise ValueError(f"{key} must be positive, not {value}")


@dataclass(frozen=True)
class Rung:
    """One model. kind, sizes: see rungs.py."""

    name: str
    kind: str
    sizes: dict[str, int]
    context: int
    batch: int
    train: TrainSettings


@dataclass(frozen=True)
class Ladder:
    name: str
    seed: int
    minutes: float
    text: TextSettings
    rungs: tuple[Rung, ...]


@dataclass(frozen=True)
class _Shape:
    name: str
    context: int
    batch: int

    def __post_init__(self) -> None:
        if not self.name.replace("-", "").isalnum():
            raise ValueError(f"name must consist of letters, digits and -, not {self.name!r}")
        if not 24 <= self.context <= 1 << 16 or not 1 <= self.batch <= 1 << 12:
            raise ValueError("context must be at least 24 and batch at least 1")


def parse_ladder(raw: dict, path: Path, minutes: float | None = None, steps: int | None = None) -> Ladder:
    """The checked recipe. minutes: scales every rung's steps; steps: every rung gets so many. Raises RecipeError."""
    from .rungs import KINDS

    unknown = set(raw) - {"kind", "name", "seed", "minutes", "evaluations", "text", "rung"}
    if unknown:
        raise RecipeError(f"{path}: unknown key {sorted(unknown)[0]!r}")
    name, seed, planned = raw.get("name", path.stem), raw.get("seed", 0), raw.get("minutes", 10)
    if not isinstance(name, str) or type(seed) is not int or seed < 0:
        raise RecipeError(f"{path}: name must be a string and seed an integer >= 0")
    if type(planned) not in (int, float) or not planned > 0:
        raise RecipeError(f"{path}: minutes must be positive, not {planned!r}")
    evaluations = raw.get("evaluations", 8)
    if type(evaluations) is not int or evaluations < 1:
        raise RecipeError(f"{path}: evaluations must be an integer >= 1, not {evaluations!r}")
    text, tables = raw.get("text", {}), raw.get("rung", [])
    if not isinstance(text, dict) or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise RecipeError(f"{path}: [text] must be a table and [[rung]] tables")
    if not tables:
        raise RecipeError(f"{path}: a ladder needs at least one [[rung]]")
    rungs = []
    for number, table in enumerate(tables, 1):
        where, rest = f"rung {number}", dict(table)
        model, train = rest.pop("model", None), rest.pop("train", None)
        if not isinstance(model, dict) or not isinstance(train, dict):
            raise RecipeError(f"{path}: [{where}] needs the tables [rung.model] and [rung.train]")
        shape = build(_Shape, rest, where, path)
        sizes = dict(model)
        kind = sizes.pop("kind", None)
        if kind not in KINDS:
            raise RecipeError(f"{path}: [{where}.model] kind must be one of {', '.join(KINDS)}, not {kind!r}")
        if set(sizes) != set(KINDS[kind].sizes) or not all(type(v) is int and v > 0 for v in sizes.values()):
            wanted = ", ".join(KINDS[kind].sizes) or "none"
            raise RecipeError(f"{path}: [{where}.model] of kind {kind} needs these sizes, positive integers: {wanted}")
        settings = build(TrainSettings, {"sample_every": 0, **train}, f"{where}.train", path)
        if settings.steps is None:
            raise RecipeError(f"{path}: [{where}.train] needs steps: a ladder's rungs are planned in steps")
        rungs.append(Rung(shape.name, kind, sizes, shape.context, shape.batch, settings))
    if len({rung.name for rung in rungs}) < len(rungs):
        raise RecipeError(f"{path}: two rungs have the same name")
    factor = 1.0 if minutes is None else minutes / planned

    def planned_for(train: TrainSettings) -> TrainSettings:
        total = steps or max(1, round(train.steps * factor))
        return replace(train, steps=total, eval_every=-(-total // evaluations))

    rungs = [replace(rung, train=planned_for(rung.train)) for rung in rungs]
    return Ladder(name, seed, planned * factor, build(TextSettings, text, "text", path), tuple(rungs))
