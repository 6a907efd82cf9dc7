"""The names that modules of Python's own library hold, read from their source: nothing is imported for it.

Modules written in C have no source; of those the few that this process has loaded anyway are listed. Knows only the
library of the Python that runs this, which may be another version than the user's.
"""

import ast
import builtins
import cmath
import itertools
import math
import sys
import sysconfig
import time
from functools import lru_cache
from pathlib import Path

from runtime.code.errors.scope import bindings
from runtime.code.errors.view import View

MOST_BYTES = 2 << 20
_IN_C = {module.__name__: frozenset(dir(module)) for module in (builtins, cmath, itertools, math, sys, time)}
_ALIASES = {"os.path": "posixpath", "nt": "ntpath"}

# Names that are used so often without their import that the module is clear.
HOMES = {
    "defaultdict": "collections", "Counter": "collections", "OrderedDict": "collections", "deque": "collections",
    "namedtuple": "collections", "ChainMap": "collections", "Path": "pathlib", "PurePath": "pathlib",
    "dataclass": "dataclasses", "field": "dataclasses", "asdict": "dataclasses", "partial": "functools",
    "lru_cache": "functools", "cached_property": "functools", "wraps": "functools", "reduce": "functools",
    "total_ordering": "functools", "chain": "itertools", "product": "itertools", "permutations": "itertools",
    "combinations": "itertools", "accumulate": "itertools", "groupby": "itertools", "islice": "itertools",
    "zip_longest": "itertools", "sqrt": "math", "ceil": "math", "floor": "math", "pi": "math", "sin": "math",
    "cos": "math", "gcd": "math", "timedelta": "datetime", "date": "datetime", "timezone": "datetime",
    "Decimal": "decimal", "Fraction": "fractions", "Enum": "enum", "IntEnum": "enum", "ABC": "abc",
    "abstractmethod": "abc", "contextmanager": "contextlib", "suppress": "contextlib", "StringIO": "io",
    "BytesIO": "io", "deepcopy": "copy", "sleep": "time", "randint": "random", "choice": "random",
    "shuffle": "random", "Thread": "threading", "Lock": "threading", "Queue": "queue",
    "ThreadPoolExecutor": "concurrent.futures", "ProcessPoolExecutor": "concurrent.futures",
    "Optional": "typing", "Union": "typing", "Any": "typing", "List": "typing", "Dict": "typing", "Tuple": "typing",
    "Set": "typing", "Callable": "typing", "Iterable": "typing", "Iterator": "typing", "NamedTuple": "typing",
    "TypeVar": "typing", "Protocol": "typing", "Literal": "typing", "pprint": "pprint", "mean": "statistics",
    "median": "statistics", "stdev": "statistics", "urlopen": "urllib.request", "urlparse": "urllib.parse",
    "TestCase": "unittest", "heappush": "heapq", "heappop": "heapq", "heapify": "heapq", "bisect_left": "bisect",
    "ascii_letters": "string", "ascii_lowercase": "string", "SimpleNamespace": "types", "getpass": "getpass",
}  # fmt: skip

# What is installed under another name than it is imported by.
DISTRIBUTIONS = {
    "cv2": "opencv-python", "PIL": "Pillow", "yaml": "PyYAML", "sklearn": "scikit-learn", "bs4": "beautifulsoup4",
    "skimage": "scikit-image", "dateutil": "python-dateutil", "dotenv": "python-dotenv", "serial": "pyserial",
    "usb": "pyusb", "Crypto": "pycryptodome", "jwt": "PyJWT", "git": "GitPython", "docx": "python-docx",
    "pptx": "python-pptx", "fitz": "PyMuPDF", "OpenSSL": "pyOpenSSL", "attr": "attrs", "MySQLdb": "mysqlclient",
    "psycopg2": "psycopg2-binary", "magic": "python-magic", "google.protobuf": "protobuf", "wx": "wxPython",
}  # fmt: skip


def is_module(name: str) -> bool:
    """Whether the library has this module; dotted names are looked up as files."""
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names and ("." not in name or name in _ALIASES or _file(name) is not None)


@lru_cache(maxsize=256)
def names(module: str) -> frozenset[str]:
    """The names that can be read from a module of the library; empty if they cannot be known."""
    return frozenset(_read(_ALIASES.get(module, module), 0))


def _read(module: str, depth: int) -> set[str]:
    if module in _IN_C:
        return set(_IN_C[module])
    path = _file(module)
    if path is None or depth > 3:
        return set()
    view = View(path.read_bytes()[:MOST_BYTES].decode("utf-8", "replace"))
    if view.tree is None:
        return set()
    found = {binding.name for binding in bindings(view.tree)} | {"__name__", "__doc__", "__file__"}
    for node in ast.walk(view.tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            source = node.module or ""
            if node.level:  # from .x import *: a sibling in the same package
                source = f"{module if path.name == '__init__.py' else module.rpartition('.')[0]}.{source}".strip(".")
            found |= {name for name in _read(source, depth + 1) if not name.startswith("_")}
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            found |= {n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    if path.name == "__init__.py":
        found |= {entry.stem for entry in path.parent.iterdir() if entry.suffix == ".py" and entry.stem != "__init__"}
    return found


def view(module: str) -> View | None:
    """The source of a module of the library, if it has one."""
    path = _file(_ALIASES.get(module, module))
    return View(path.read_bytes()[:MOST_BYTES].decode("utf-8", "replace"), str(path)) if path else None


def _file(module: str) -> Path | None:
    """The source file of a module of the library. The name comes from outside: only plain identifiers become a path."""
    parts = module.split(".")
    if parts[0] not in sys.stdlib_module_names or not all(part.isidentifier() for part in parts):
        return None
    base = Path(sysconfig.get_paths()["stdlib"]).joinpath(*parts)
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            return path
    return None
