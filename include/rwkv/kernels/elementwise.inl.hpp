// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: what happens to rows between the matrix products.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

RWKV_ATTR inline void layer_norm(const Scalar* x, const Scalar* weight, const Scalar* bias, Scalar eps, Scalar* y,
                                 Index n) noexcept {
  Lanes sum = Lanes::set(0);
  for (Index i = 0; i < n; i += Lanes::count) sum = sum + load(x + i, n - i);
  const Scalar mean = sum.total() / static_cast<Scalar>(n);

  // The variance in a second pass: E[x^2] - E[x]^2 would cancel where the mean is large.
  Lanes squares = Lanes::set(0);
  Index i = 0;
  for (; i + Lanes::count <= n; i += Lanes::count) {
    const Lanes centred = Lanes::load(x + i) - Lanes::set(mean);
    squares = Lanes::fma(centred, centred, squares);
  }
  Scalar total = squares.total();
  for (; i < n; ++i) total += (x[i] - mean) * (x[i] - mean);

  const Lanes scale = Lanes::set(1 / std::sqrt(total / static_cast<Scalar>(n) + eps));
  for (i = 0; i < n; i += Lanes::count) {
    const Index left = n - i;
    const Lanes normalised = (load(x + i, left) - Lanes::set(mean)) * scale;
    store(Lanes::fma(normalised, load(weight + i, left), load(bias + i, left)), y + i, left);
  }
}

RWKV_ATTR inline void mix(const Scalar* x, const Scalar* previous, const Scalar* mu, Scalar* y, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) {
    const Index left = n - i;
    const Lanes before = load(previous + i, left);
    store(Lanes::fma(load(mu + i, left), load(x + i, left) - before, before), y + i, left);
  }
}

RWKV_ATTR inline void add(Scalar* x, const Scalar* y, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) {
    const Index left = n - i;
    store(load(x + i, left) + load(y + i, left), x + i, left);
  }
}

RWKV_ATTR inline void gate(const Scalar* gate, const Scalar* x, Scalar* y, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) {
    const Index left = n - i;
    store(sigmoid(load(gate + i, left)) * load(x + i, left), y + i, left);
  }
}

RWKV_ATTR inline void relu_squared(Scalar* x, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) {
    const Lanes positive = Lanes::max(Lanes::set(0), load(x + i, n - i));
    store(positive * positive, x + i, n - i);
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
