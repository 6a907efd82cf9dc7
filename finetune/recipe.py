"""Recipes: a TOML file that fixes everything a pre-training run depends on besides the corpus.

Sections: top level (name, seed), [model], [data] with [data.fim] and [[data.later]] (phases), [train] with
[train.watch] (what is done when something goes wrong); unknown keys are errors, so that a typing slip cannot silently
train something else.
"""

from __future__ import annotations

import inspect
import os
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from runtime.models.spec import DecoderSpec

from .data.fim import FimSettings
from .data.phases import PhaseSettings
from .settings import TrainSettings
from .watch import WatchSettings

_FOLDER = Path(__file__).parent / "recipes"


class RecipeError(Exception):
    """The recipe cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class DataSettings:
    """context: tokens per row. batch: rows per step. chat_rate: share of rows that begin with a chat document.

    section_lines: documents are cut into sections of about so many lines before they are shuffled; 0 = whole.
    later: phases that change these from a step on; what a phase leaves out stays as before it.
    """

    context: int = 512
    batch: int = 16
    chat_rate: float = 0.03
    section_lines: int = 60
    fim: FimSettings = FimSettings()
    later: tuple[PhaseSettings, ...] = ()

    def __post_init__(self) -> None:
        steps = [phase.step for phase in self.phases]  # building the first phase checks the other values
        if any(a >= b for a, b in zip(steps, steps[1:], strict=False)):
            raise ValueError(f"[[data.later]] steps must grow from 2 on, not {steps[1:]}")

    @property
    def phases(self) -> list[PhaseSettings]:
        first = PhaseSettings(1, self.context, self.batch, self.chat_rate, self.section_lines, self.fim)
        return [first, *self.later]


@dataclass(frozen=True)
class Recipe:
    name: str
    seed: int
    model: DecoderSpec
    data: DataSettings
    train: TrainSettings
    eval_rows: int = 96
    raw: dict = field(default_factory=dict, compare=False)

    def to_dict(self) -> dict:
        """JSON-able, complete."""
        train = {**asdict(self.train), "eval_rows": self.eval_rows}
        model, data = asdict(self.model), asdict(self.data)
        return {"name": self.name, "seed": self.seed, "model": model, "data": data, "train": train}


def names() -> list[str]:
    """Recipes that come with the program."""
    return sorted(p.stem for p in _FOLDER.glob("*.toml"))


def read(name_or_path: str | os.PathLike) -> tuple[dict, Path]:
    """What stands in a bundled recipe or a TOML file, unchecked, and its path. Raises RecipeError."""
    text = os.fspath(name_or_path)
    path = _FOLDER / f"{text}.toml" if text in names() else Path(text)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {text!r}; bundled: {', '.join(names())}, or give a .toml file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as exc:
        raise RecipeError(f"{path}: cannot be read as TOML: {exc}") from None


def load_recipe(name_or_path: str | os.PathLike, minutes: float | None = None, steps: int | None = None) -> Recipe:
    """A bundled recipe by name, or a TOML file. minutes or steps: replaces the recipe's horizon.

    Raises RecipeError with one sentence.
    """
    raw, path = read(name_or_path)
    return _parse(raw, path, minutes, steps)


def _parse(raw: dict, path: Path, minutes: float | None, steps: int | None) -> Recipe:
    unknown = set(raw) - {"name", "seed", "model", "data", "train"}
    if unknown:
        raise RecipeError(f"{path}: unknown key {sorted(unknown)[0]!r}")
    name, seed = raw.get("name", path.stem), raw.get("seed", 0)
    if not isinstance(name, str) or type(seed) is not int or seed < 0:
        raise RecipeError(f"{path}: name must be a string and seed an integer >= 0")
    train = dict(_table(raw, "train", path))
    eval_rows = train.pop("eval_rows", 96)
    if type(eval_rows) is not int or eval_rows < 1:
        raise RecipeError(f"{path}: [train] eval_rows must be an integer >= 1")
    train["watch"] = build(WatchSettings, _table(train, "watch", path), "train.watch", path)
    if minutes is not None or steps is not None:
        train.pop("minutes", None)
        train.pop("steps", None)
        train.update({"minutes": minutes} if minutes is not None else {"steps": steps})
    data = dict(_table(raw, "data", path))
    data["fim"] = build(FimSettings, _table(data, "fim", path), "data.fim", path)
    later = data.pop("later", [])
    data["later"] = _later(build(DataSettings, data, "data", path), later, path)
    recipe = Recipe(
        name,
        seed,
        build(DecoderSpec, _table(raw, "model", path), "model", path),
        build(DataSettings, data, "data", path),
        build(TrainSettings, train, "train", path),
        eval_rows,
        raw,
    )
    longest = max(phase.context for phase in recipe.data.phases)
    if longest > recipe.model.max_context:
        raise RecipeError(f"{path}: [data] context {longest} is longer than [model] max_context")
    return recipe


def _later(data: DataSettings, tables: list, path: Path) -> tuple[PhaseSettings, ...]:
    """[[data.later]]: each phase is the one before it with what its table changes."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RecipeError(f"{path}: [[data.later]] must be an array of tables")
    phases = data.phases
    for table in tables:
        section, before = f"data.later {len(phases)}", phases[-1]
        if "step" not in table:
            raise RecipeError(f"{path}: [[data.later]] {len(phases)} needs the key 'step': from which step on")
        fim = build(FimSettings, asdict(before.fim) | _table(table, "fim", path), f"{section}.fim", path)
        kept = {f.name: getattr(before, f.name) for f in fields(PhaseSettings)}
        phases.append(build(PhaseSettings, kept | table | {"fim": fim}, section, path))
    return tuple(phases[1:])


def _table(raw: dict, key: str, path: Path) -> dict:
    table = raw.get(key, {})
    if not isinstance(table, dict):
        raise RecipeError(f"{path}: [{key}] must be a table")
    return table


def build(kind, table: dict, section: str, path: Path):
    """kind(**table) for a dataclass of settings. RecipeError names an unknown key, a wrong type, a refused value."""
    known = {name: argument.annotation for name, argument in inspect.signature(kind).parameters.items()}
    for key, value in table.items():
        if key not in known:
            raise RecipeError(f"{path}: [{section}] has no key {key!r}; known: {', '.join(known)}")
        wanted = {"int": (int,), "float": (int, float), "bool": (bool,)}.get(_type_name(known[key]))
        if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)):
            raise RecipeError(f"{path}: [{section}] {key} has the wrong type ({value!r})")
    try:
        return kind(**table)
    except (TypeError, ValueError) as exc:
        raise RecipeError(f"{path}: [{section}] {exc}") from None


def _type_name(annotation) -> str:
    """Annotations are text where a module postpones them ("int | None", "InitVar[float | None]"), else types."""
    if isinstance(annotation, str):
        return annotation.removeprefix("InitVar[").split(" ")[0]
    return getattr(annotation, "__name__", "")
