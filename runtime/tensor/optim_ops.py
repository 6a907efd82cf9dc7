"""The optimiser's arithmetic on plain float32 arrays, for code that may not import native_kernels itself.

adamw(p, g, m, v, lr, beta1, beta2, eps, weight_decay, step, grad_scale): in place, step counts from 1.
sum_squares(x) -> float, the same for any number of threads. product(a, b, out, trans_a, trans_b, …): matrix product in
the precision in use (precision.py).
"""

from native_kernels import adamw, sum_squares
from runtime.tensor.precision import product

__all__ = ["adamw", "product", "sum_squares"]
