"""Runs and differentiates models; knows no editor and changes no weights.

>>> import runtime
>>> model = runtime.load_model()
>>> print(model.infill("def add(a, b):\\n    return ", "\\n"))
"""

from runtime.engine.lane import Engine, EngineBusy
from runtime.engine.request import Request
from runtime.engine.saved import SavedCaches
from runtime.files.errors import FormatError
from runtime.generate import Piece
from runtime.gguf_export import quantize
from runtime.model import Infill, Model, load_model
from runtime.text import Tokenizer, load_tokenizer

__all__ = [
    "Engine",
    "EngineBusy",
    "FormatError",
    "Infill",
    "Model",
    "Piece",
    "Request",
    "SavedCaches",
    "Tokenizer",
    "load_model",
    "load_tokenizer",
    "quantize",
]
