"""Storage types of weights: names and numbers as in ggml, values per block, bytes per block.

Knows no layouts inside a block (native_kernels/reference_quant.py has them) and no files.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class QType:
    """One storage type. A row of K values takes K / values * size bytes; K is a multiple of `values`."""

    name: str
    number: int
    values: int
    size: int

    def row_bytes(self, k: int) -> int:
        """Bytes of a row of k values; ValueError if k is no multiple of the block."""
        if k % self.values:
            raise ValueError(f"{self.name} has blocks of {self.values} values; a row of {k} is no multiple of that")
        return k // self.values * self.size


QTYPES: dict[str, QType] = {
    name: QType(name, number, values, size)
    for name, number, values, size in (
        ("F32", 0, 1, 4),
        ("F16", 1, 1, 2),
        ("Q4_0", 2, 32, 18),
        ("Q4_1", 3, 32, 20),
        ("Q5_0", 6, 32, 22),
        ("Q5_1", 7, 32, 24),
        ("Q8_0", 8, 32, 34),
        ("Q2_K", 10, 256, 84),
        ("Q3_K", 11, 256, 110),
        ("Q4_K", 12, 256, 144),
        ("Q5_K", 13, 256, 176),
        ("Q6_K", 14, 256, 210),
        ("IQ4_NL", 20, 32, 18),
        ("IQ4_XS", 23, 256, 136),
        ("BF16", 30, 1, 2),
        ("MXFP4", 39, 32, 17),
    )
}
BY_NUMBER: dict[int, QType] = {qtype.number: qtype for qtype in QTYPES.values()}
