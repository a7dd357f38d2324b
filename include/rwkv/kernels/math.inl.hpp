// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: ragged ends, exp, sigmoid, tanh.

#include <cmath>

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

/// The next values of an array of which `left` remain; lanes beyond its end are zero.
RWKV_INLINE Lanes load(const Scalar* from, Index left) noexcept { return Lanes::load_first(from, left); }
/// Stores the first `left` lanes, or all.
RWKV_INLINE void store(Lanes lanes, Scalar* to, Index left) noexcept { lanes.store_first(to, left); }

/// e^x within 2 units in the last place; 0 below -87.3 (instead of subnormals), e^88.02 above 88.02, NaN for NaN.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2, then e^r by the polynomial of Cephes' expf (Moshier), then times 2^n.
/// In double, where speed is no matter, it is the standard library's.
RWKV_INLINE Lanes exp(Lanes x) noexcept {
  if constexpr (sizeof(Scalar) == sizeof(double)) {
    Scalar values[Lanes::count];
    x.store(values);
    for (Scalar& value : values) value = std::exp(value);
    return Lanes::load(values);
  } else {
    using L = Lanes;
    const L clamped = L::min(L::set(88.02f), L::max(L::set(-87.33f), x));
    const L n = L::round(clamped * L::set(1.44269504f));
    const L r = L::fma(n, L::set(2.12194440e-4f), L::fma(n, L::set(-0.693359375f), clamped));
    L p = L::fma(L::set(1.9875691500e-4f), r, L::set(1.3981999507e-3f));
    p = L::fma(p, r, L::set(8.3334519073e-3f));
    p = L::fma(p, r, L::set(4.1665795894e-2f));
    p = L::fma(p, r, L::set(1.6666665459e-1f));
    p = L::fma(p, r, L::set(5.0000001201e-1f));
    const L power = L::scale(L::fma(p, r * r, r) + L::set(1), n);
    return L::where_less(x, L::set(-87.33f), L::set(0), power);
  }
}

RWKV_INLINE Lanes sigmoid(Lanes x) noexcept {
  const Lanes one = Lanes::set(1);
  return one / (one + exp(Lanes::set(0) - x));
}

/// Within 4 units in the last place, NaN for NaN.
///
/// 1 - 2 / (e^{2|x|} + 1) cancels for small x: there by the polynomial of Cephes' tanhf (Moshier), |x| < 0.625.
/// In double it is the standard library's.
RWKV_INLINE Lanes tanh(Lanes x) noexcept {
  if constexpr (sizeof(Scalar) == sizeof(double)) {
    Scalar values[Lanes::count];
    x.store(values);
    for (Scalar& value : values) value = std::tanh(value);
    return Lanes::load(values);
  } else {
    const Lanes zero = Lanes::set(0);
    const Lanes one = Lanes::set(1);
    const Lanes z = x * x;
    Lanes p = Lanes::fma(Lanes::set(-5.70498872745e-3f), z, Lanes::set(2.06390887954e-2f));
    p = Lanes::fma(p, z, Lanes::set(-5.37397155531e-2f));
    p = Lanes::fma(p, z, Lanes::set(1.33314422036e-1f));
    p = Lanes::fma(p, z, Lanes::set(-3.33332819422e-1f));
    const Lanes small = Lanes::fma(p * z, x, x);
    const Lanes magnitude = Lanes::max(zero - x, x);
    const Lanes large = one - Lanes::set(2) / (exp(magnitude + magnitude) + one);
    const Lanes signed_large = Lanes::where_less(x, zero, zero - large, large);
    return Lanes::where_less(magnitude, Lanes::set(0.625f), small, signed_large);
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
