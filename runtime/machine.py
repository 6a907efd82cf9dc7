"""What the arithmetic runs on: the instruction set in use and why, those available, threads. For people and reports."""

from dataclasses import dataclass

import native_kernels as nk


@dataclass(frozen=True)
class Machine:
    """Names as `native_kernels` gives them."""

    instructions: str
    why: str
    available: tuple[str, ...]
    threads: int


def machine() -> Machine:
    """Raises what the kernels raise when HEARTH_ISA asks for more than the CPU has."""
    return Machine(nk.isa(), nk.why(), tuple(nk.available_isas()), nk.threads())
