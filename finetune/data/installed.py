"""Installed packages as sources of training text: the Python files of every distribution in a site-packages folder,
its version and its licence.

Reads the metadata on disk (PEP 376, PEP 566) and imports nothing. Knows nothing about which licences are good
(`licences.py`) or what a file holds.
"""

import re
import sysconfig
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

from finetune.data import licences
from finetune.data.sources import Source, walk
from finetune.data.unseen import PROJECT, canonical, is_unseen, table


def running_site_packages() -> list[Path]:
    """The folders of the running environment that hold installed packages."""
    folders = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    return sorted(folder for folder in folders if folder.is_dir())


def find_packages(folders: Iterable[Path]) -> list[Source]:
    """One source a distribution of these site-packages folders, in order of name; of several versions the newest.

    Raises NotADirectoryError for a path that is no folder. A folder without metadata gives nothing.
    """
    best: dict[str, Source] = {}
    for folder in folders:
        if not Path(folder).is_dir():
            raise NotADirectoryError(f"{folder} is not a folder")
        for found in distributions(path=[str(folder)]):
            source = _source(found, Path(folder))
            if source and (source.name not in best or best[source.name].version < source.version):
                best[source.name] = source
    return [best[name] for name in sorted(best)]


def _source(found: Distribution, folder: Path) -> Source | None:
    meta = found.metadata
    name, version = meta.get("Name"), meta.get("Version") or "0"
    if not name:
        return None
    licence = licences.declared(
        meta.get("License-Expression"), meta.get_all("Classifier") or (), meta.get("License") or ""
    )
    return Source(
        canonical(name), folder, version_key(version), licence, text_version=version, files=_files(found, folder)
    )


def _files(found: Distribution, folder: Path) -> tuple[str, ...]:
    """Python files that the distribution installed, relative to the site-packages folder."""
    listed = {PurePosixPath(str(f)).as_posix() for f in found.files or ()}
    if not listed:  # an old egg-info without a list: the folders that it names as its own
        tops = (found.read_text("top_level.txt") or "").split()
        roots = [folder / top for top in tops if re.fullmatch(r"\w+", top)]
        files = [f for root in roots for f in (root.rglob("*.py") if root.is_dir() else [root.with_suffix(".py")])]
        listed = {f.relative_to(folder).as_posix() for f in files if f.is_file()}
    return tuple(sorted(f for f in listed if f.endswith(".py") and not f.startswith(("/", "../"))))


def version_key(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for ordering: "2.10.1rc2" gives (2, 10, 1)."""
    return tuple(int(n) for n in re.findall(r"\d+", re.split(r"[a-zA-Z+]", version)[0])) or (0,)


def held_out_files(packages: Iterable[Source]) -> tuple[tuple[Path, str], ...]:
    """(file, name) of every file in these packages that belongs to a held-out one, vendored copies included, and of
    this project itself."""
    found = [
        (file, f"{source.name}/{relative}")
        for source in packages
        for relative, file in walk(source)
        if is_unseen(source.name, relative)
    ]
    here = Path(__file__).resolve().parents[2]
    for package in table()[PROJECT]:
        if (here / package).is_dir():
            found += [(file, f"{package}/{relative}") for relative, file in walk(Source(package, here / package))]
    return tuple(found)
