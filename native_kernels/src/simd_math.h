// Functions written once on the operations of the simd_*.h that includes this file (last). Knows no instruction set.
#pragma once

// exp: Cody-Waite reduction to |r| <= ln2/2, then a degree-6 polynomial (minimax coefficients of Cephes expf).
// At most 2 ulp on [-87, 88]; below about -104 it is 0 (so exp(-inf) = 0), above 88.73 it is inf; NaN stays NaN.
static inline vf v_exp(vf x) {
    x = v_max(v_set1(-105.0f), x);
    x = v_min(v_set1(89.0f), x);
    vf n = v_round(v_mul(x, v_set1(1.44269504088896341f)));
    vf r = v_fnma(n, v_set1(0.693359375f), x);
    r = v_fnma(n, v_set1(-2.12194440e-4f), r);
    vf p = v_set1(1.9875691500e-4f);
    p = v_fma(p, r, v_set1(1.3981999507e-3f));
    p = v_fma(p, r, v_set1(8.3334519073e-3f));
    p = v_fma(p, r, v_set1(4.1665795894e-2f));
    p = v_fma(p, r, v_set1(1.6666665459e-1f));
    p = v_fma(p, r, v_set1(5.0000001201e-1f));
    p = v_add(v_fma(p, v_mul(r, r), r), v_set1(1.0f));
    return v_scale2(p, n);
}
