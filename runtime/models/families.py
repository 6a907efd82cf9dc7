"""Finds the family file of a config: one file per family, named after `model_type`, no registry to edit."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from types import ModuleType

from runtime.files.errors import FormatError

# A model_type comes from outside: it must look like an identifier and be a family file, never any other module here.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}\Z")


def family_of(config: Mapping, path: object = "config.json") -> ModuleType:
    """The module that maps this config onto a DecoderSpec; FormatError says which model_type is not supported."""
    kind = config.get("model_type")
    if isinstance(kind, str) and _NAME.match(kind) and importlib.util.find_spec(f"runtime.models.{kind}"):
        module = importlib.import_module(f"runtime.models.{kind}")
        if getattr(module, "IS_FAMILY", False):
            return module
    raise FormatError("unsupported_model", path, None, f"model_type {kind!r} is not a family this engine runs")
