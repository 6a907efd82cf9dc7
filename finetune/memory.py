"""Keeps large temporaries in the process's heap between training steps.

glibc hands every large numpy temporary back to the kernel and asks for it again in the next step, which zeroes each
page anew. Knows nothing of training; a no-op elsewhere.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_large_blocks() -> bool:
    """True if the allocator accepted it. Affects the whole process: meant for a trainer, not for a server."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, 1 << 30) and mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))
