"""The types that values are stored in, and explicit conversions between them. Arithmetic is float32 throughout.

    f32, f16   IEEE 754 single and half precision          i8, u8, i32, i64   integers
    bf16       the upper half of an f32, held as uint16 bit patterns, since numpy has no such type

Nothing converts by itself: precision is lost only where `cast` or `rounded` stands.
"""

from __future__ import annotations

import numpy as np

from runtime.files.safetensors import bf16_to_float32, float32_to_bf16
from runtime.tensor.tensor import Tensor

NUMPY = {
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(np.uint16),
    "i8": np.dtype(np.int8),
    "u8": np.dtype(np.uint8),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
}


def cast(values: np.ndarray, source: str, target: str) -> np.ndarray:
    """`values` of type `source` as `target`; rounds to nearest even, f16 overflows to inf, integers never wrap around.

    ValueError if an integer target cannot hold a value (NaN, fractions, out of range), TypeError if the array is not
    of the type that `source` says.
    """
    for name in (source, target):
        if name not in NUMPY:
            raise ValueError(f"cast: unknown type {name!r}, expected one of {', '.join(NUMPY)}")
    if values.dtype != NUMPY[source]:
        raise TypeError(f"cast: the array is {values.dtype}, {source} is held as {NUMPY[source]}")
    if source == target:
        return values
    plain = bf16_to_float32(values) if source == "bf16" else values
    if target == "bf16":
        return float32_to_bf16(plain.astype(np.float32))
    wanted = NUMPY[target]
    if wanted.kind in "iu" and plain.size:
        if plain.dtype.kind == "f" and not (np.isfinite(plain).all() and (plain == np.trunc(plain)).all()):
            raise ValueError(f"cast: {target} holds whole numbers only")
        low, high, limits = plain.min(), plain.max(), np.iinfo(wanted)
        if int(low) < limits.min or int(high) > limits.max:
            raise ValueError(f"cast: values {low} .. {high} do not fit {target} ({limits.min} .. {limits.max})")
    with np.errstate(over="ignore"):
        return plain.astype(wanted)


def rounded(x: Tensor, dtype: str) -> Tensor:
    """x rounded to what f16 or bf16 can hold, as float32; the gradient passes through unchanged (straight-through)."""
    if dtype not in ("f16", "bf16"):
        raise ValueError(f"rounded: {dtype!r}, expected f16 or bf16")

    def vjp(dout):
        return (dout,)

    return Tensor.from_op(cast(cast(x.data, "f32", dtype), dtype, "f32"), (x,), vjp)
