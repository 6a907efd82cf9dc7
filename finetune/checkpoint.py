"""Checkpoints: everything that an exact resume needs, complete or absent.

    DIR/step-00001000/weights.safetensors   parameters, float32, by Hugging Face names
                      optimizer.safetensors moments "m/<name>", "v/<name>"
                      state.json            step, schedule, data cursor and random state, configuration, hashes

A checkpoint is written into a temporary folder, synced and then renamed, so that a kill at any moment leaves the last
complete one; the two newest are kept, and those that were given a name of their own (DIR/best). Knows no models:
arrays by name, and a JSON-able state.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.files.atomic import atomic_write_text, fsync_folder
from runtime.files.errors import FormatError
from runtime.files.reader import read_json
from runtime.files.safetensors import read_safetensors, write_safetensors

VERSION = 1
KEEP = 2
_STATE_DEPTH = 24
_NAME = re.compile(r"step-(\d{8,12})\Z")
_TEMPORARY = ".unfinished-"


@dataclass
class Checkpoint:
    """A checkpoint as read: float32 arrays by name and the state."""

    path: Path
    weights: dict[str, np.ndarray]
    moments: dict[str, np.ndarray]
    state: dict

    @property
    def step(self) -> int:
        return self.state["step"]


def save(
    folder: str | os.PathLike,
    step: int,
    weights: Mapping[str, np.ndarray],
    moments: Mapping[str, np.ndarray],
    state: Mapping,
    keep: int = KEEP,
) -> Path:
    """Write the checkpoint of `step` and remove those before it but for the `keep` - 1 newest. Returns its folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    final = folder / f"step-{step:08d}"
    work = folder / f"{_TEMPORARY}{step:08d}"
    work.mkdir()
    write_safetensors(work / "weights.safetensors", weights, {"format": "pt"})
    write_safetensors(work / "optimizer.safetensors", moments)
    text = json.dumps({"version": VERSION, "step": step, **_encode(dict(state))}, indent=1, allow_nan=False)
    atomic_write_text(work / "state.json", text)
    fsync_folder(work)
    if final.exists():
        shutil.rmtree(final)
    os.rename(work, final)
    fsync_folder(folder)
    for old in [path for path in list_steps(folder) if step_of(path) <= step][:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def remove_after(folder: str | os.PathLike, step: int) -> None:
    """Delete the checkpoints beyond `step`; named ones stay."""
    for path in list_steps(folder):
        if step_of(path) > step:
            shutil.rmtree(path, ignore_errors=True)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Delete what a killed run left half written."""
    for left in Path(folder).glob(_TEMPORARY + "*"):
        shutil.rmtree(left, ignore_errors=True)


def list_steps(folder: str | os.PathLike) -> list[Path]:
    """Complete checkpoints, oldest first."""
    folder = Path(folder)
    found = [p for p in folder.iterdir() if _NAME.match(p.name) and p.is_dir()] if folder.is_dir() else []
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """Step of a folder that list_steps() gave."""
    return int(_NAME.match(path.name)[1])


def keep_as(checkpoint: Path, name: Path) -> None:
    """Keep a complete checkpoint as the folder `name` too, in place of an older one; files are linked, not copied."""
    work = name.with_name(f"{_TEMPORARY}{name.name}")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(checkpoint, work, copy_function=_link)
    if name.exists():
        shutil.rmtree(name)
    os.rename(work, name)
    fsync_folder(name.parent)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def set_aside(folder: Path, after: int, out: Path) -> Path:
    """Move the checkpoints beyond step `after` into a new folder of `out`, with a copy of its metrics. Returns it."""
    newer = [path for path in list_steps(folder) if step_of(path) > after]
    left = out / f"left-{step_of(newer[-1])}"
    while left.exists():
        left = left.with_name(left.name + "+")
    (left / folder.name).mkdir(parents=True)
    for path in newer:
        os.rename(path, left / folder.name / path.name)
    for name in ("metrics.jsonl", "run.json", "tokenizer.json"):
        if (out / name).is_file():
            shutil.copy2(out / name, left / name)
    return left


def latest(folder: str | os.PathLike) -> Path | None:
    steps = list_steps(folder)
    return steps[-1] if steps else None


def load(path: str | os.PathLike) -> Checkpoint:
    """Read one checkpoint folder. Raises FormatError for anything broken, FileNotFoundError for a missing file."""
    path = Path(path)
    state_path = path / "state.json"
    state = read_json(state_path, "checkpoint state", max_depth=_STATE_DEPTH)
    if not isinstance(state, dict) or type(state.get("step")) is not int or state["step"] < 0:
        raise FormatError("checkpoint", state_path, None, "is not the state of a checkpoint")
    if state.get("version") != VERSION:
        raise FormatError("checkpoint", state_path, None, f"has version {state.get('version')!r}, {VERSION} is read")
    weights = read_safetensors(path / "weights.safetensors")
    moments = read_safetensors(path / "optimizer.safetensors")
    return Checkpoint(
        path,
        {name: weights.float32(name) for name in weights.names()},
        {name: moments.float32(name) for name in moments.names()},
        _decode(state),
    )


def copy_into(target: Mapping[str, np.ndarray], source: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Copy arrays by name into the live ones. Raises FormatError, before any copy, if names or shapes differ."""
    if set(target) != set(source):
        odd = sorted(set(target) ^ set(source))[:3]
        raise FormatError("checkpoint", path, None, f"names differ from the model's: {', '.join(odd)}")
    for name, array in target.items():
        if source[name].shape != array.shape:
            raise FormatError(
                "checkpoint", path, None, f"{name} has shape {source[name].shape}, the model {array.shape}"
            )
    for name, array in target.items():
        array[...] = source[name]


# JSON numbers are only safe to 64 bits, the state of a PCG64 generator has 128: such integers travel as text.
def _encode(value):
    if isinstance(value, Mapping):
        return {str(k): _encode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 53:
        return {"$int": str(value)}
    return value


def _decode(value):
    if isinstance(value, dict):
        if set(value) == {"$int"} and re.fullmatch(r"-?[0-9]{1,60}", str(value["$int"])):
            return int(value["$int"])
        return {k: _decode(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_decode(v) for v in value]
    return value
