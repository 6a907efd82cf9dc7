"""Stored types: conversions round once, never wrap around, and refuse what does not fit."""

import numpy as np
import pytest

from runtime import tensor as t


def test_f16_and_bf16_round_to_nearest_even():
    one = np.float32(1)
    halves = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20], np.float32)  # between two bf16 numbers
    bits = t.cast(halves, "f32", "bf16")
    assert bits.dtype == np.uint16
    np.testing.assert_array_equal(t.cast(bits, "bf16", "f32"), [1, one + 2**-6, one + 2**-7])
    np.testing.assert_array_equal(t.cast(np.array([1 + 2**-11, 1e6], np.float32), "f32", "f16"), [1, np.inf])


def test_what_a_type_can_hold_survives_the_way_there_and_back():
    values = np.array([0, 1, -2, 100, 127], np.float32)
    for name in ("f16", "bf16", "i8", "i32", "i64"):
        np.testing.assert_array_equal(t.cast(t.cast(values, "f32", name), name, "f32"), values)
    every = np.arange(2**16, dtype=np.uint16)
    every = every[(every & 0x7F80) != 0x7F80]  # all finite bf16
    np.testing.assert_array_equal(t.cast(t.cast(every, "bf16", "f32"), "f32", "bf16"), every)


def test_every_pair_of_types_converts():
    values = np.array([0, 1, 2, 100])
    from runtime.tensor.dtypes import NUMPY

    for source in NUMPY:
        held = t.cast(values.astype(np.float32), "f32", source)
        for target in NUMPY:
            out = t.cast(held, source, target)
            assert out.dtype == NUMPY[target]
            np.testing.assert_array_equal(t.cast(out, target, "i64"), values)


@pytest.mark.parametrize(
    ("values", "source", "target", "error", "message"),
    [
        (np.array([300.0], np.float32), "f32", "u8", ValueError, r"300.0 .. 300.0 do not fit u8 \(0 .. 255\)"),
        (np.array([-1], np.int32), "i32", "u8", ValueError, "do not fit u8"),
        (np.array([2**40]), "i64", "i32", ValueError, "do not fit i32"),
        (np.array([0.5], np.float32), "f32", "i32", ValueError, "whole numbers"),
        (np.array([np.nan], np.float32), "f32", "i32", ValueError, "whole numbers"),
        (np.array([1.0]), "f32", "f16", TypeError, "the array is float64, f32 is held as float32"),
        (np.array([1.0], np.float32), "f32", "fp4", ValueError, "unknown type 'fp4'"),
    ],
)
def test_what_does_not_fit_is_refused(values, source, target, error, message):
    with pytest.raises(error, match=message):
        t.cast(values, source, target)


def test_rounded_values_pass_the_gradient_through():
    x = t.Tensor(np.array([1 + 2**-9, 3.14159], np.float32), requires_grad=True)
    out = t.rounded(x, "bf16")
    np.testing.assert_array_equal(out.data, [1, 3.140625])
    (out * np.array([2, 5])).sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 5])
    with pytest.raises(ValueError, match="i8"):
        t.rounded(x, "i8")


@pytest.mark.peer
def test_conversions_agree_with_torch(normal):
    torch = pytest.importorskip("torch")
    values = normal(5000) * np.exp2(np.arange(5000) % 60 - 30).astype(np.float32)
    bits = torch.tensor(values).bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(t.cast(values, "f32", "bf16"), bits)
    np.testing.assert_array_equal(t.cast(values, "f32", "f16"), torch.tensor(values).half().numpy())
