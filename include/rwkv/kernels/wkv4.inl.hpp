// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: the recurrence of RWKV-4, channels side by side in
// registers.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

/// e^a A + e^b B for two pairs that share their exponents, scaled so that the larger exponent becomes 0.
/// One of the two factors is exactly 1, so one exponential serves both.
struct ScaledSums {
  Lanes exponent;
  Lanes numerator;
  Lanes denominator;
};

RWKV_INLINE ScaledSums add_scaled(Lanes pp, Lanes aa, Lanes bb, Lanes key, Lanes value) noexcept {
  const Lanes zero = Lanes::set(0);
  const Lanes one = Lanes::set(1);
  const Lanes difference = pp - key;
  const Lanes smaller = exp(Lanes::min(difference, zero - difference));
  const Lanes e1 = Lanes::where_less(difference, zero, smaller, one);
  const Lanes e2 = Lanes::where_less(difference, zero, one, smaller);
  return {Lanes::max(pp, key), Lanes::fma(e1, aa, e2 * value), Lanes::fma(e1, bb, e2)};
}

RWKV_ATTR inline void wkv4(const Wkv4Call<Scalar>& call, Index begin, Index end) noexcept {
  for (Index c = begin; c < end; c += Lanes::count) {
    const Index left = end - c;
    const Lanes w = load(call.w + c, left);
    const Lanes u = load(call.u + c, left);
    Lanes aa = load(call.aa + c, left);
    Lanes bb = load(call.bb + c, left);
    Lanes pp = load(call.pp + c, left);
    for (Index t = 0; t < call.n_tokens; ++t) {
      const Index at = t * call.n_channels + c;
      const Lanes k = load(call.k + at, left);
      const Lanes v = load(call.v + at, left);
      if (call.y != nullptr) {
        const ScaledSums sums = add_scaled(pp, aa, bb, u + k, v);
        store(sums.numerator / sums.denominator, call.y + at, left);
      }
      const ScaledSums next = add_scaled(pp + w, aa, bb, k, v);
      aa = next.numerator;
      bb = next.denominator;
      pp = next.exponent;
    }
    store(aa, call.aa + c, left);
    store(bb, call.bb + c, left);
    store(pp, call.pp + c, left);
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
