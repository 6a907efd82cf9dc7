"""Low-rank adapters (LoRA and its kin): small changes of weights, read from files, applied while serving."""

from runtime.adapters.adapter import Adapter, LowRank, combined
from runtime.adapters.load import load_adapter
from runtime.adapters.shelf import Shelf

__all__ = ["Adapter", "LowRank", "Shelf", "combined", "load_adapter"]
