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

RWKV_ATTR inline void silu_gate(const Scalar* gate, const Scalar* x, Scalar* y, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) {
    const Lanes g = load(gate + i, n - i);
    store(g * sigmoid(g) * load(x + i, n - i), y + i, n - i);
  }
}

RWKV_ATTR inline void relu_squared(Scalar* x, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) {
    const Lanes positive = Lanes::max(Lanes::set(0), load(x + i, n - i));
    store(positive * positive, x + i, n - i);
  }
}

RWKV_ATTR inline void multiply(Scalar* x, const Scalar* y, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) store(load(x + i, n - i) * load(y + i, n - i), x + i, n - i);
}

RWKV_ATTR inline void tanh_all(Scalar* x, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) store(tanh(load(x + i, n - i)), x + i, n - i);
}

RWKV_ATTR inline void sigmoid_all(Scalar* x, const Scalar* bias, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) {
    const Lanes plus = bias == nullptr ? Lanes::set(0) : load(bias + i, n - i);
    store(sigmoid(load(x + i, n - i) + plus), x + i, n - i);
  }
}

RWKV_ATTR inline void decay6(Scalar* x, const Scalar* bias, Index n) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) {
    const Lanes rate = exp(load(x + i, n - i) + load(bias + i, n - i));
    store(exp(Lanes::set(0) - rate), x + i, n - i);
  }
}

RWKV_ATTR inline void decay7(Scalar* x, const Scalar* bias, Index n) noexcept {
  // -e^{-1/2} with the digits that rwkv_pip_package has; all of them would change logits by up to 3e-6.
  const Lanes strongest = Lanes::set(Scalar(-0.606531));
  for (Index i = 0; i < n; i += Lanes::count) {
    const Lanes share = sigmoid(load(x + i, n - i) + load(bias + i, n - i));
    store(exp(strongest * share), x + i, n - i);
  }
}

RWKV_ATTR inline void keys7(Scalar* k, const Scalar* a, const Scalar* k_k, const Scalar* k_a, Scalar* kk,
                            Index n) noexcept {
  const Lanes one = Lanes::set(1);
  Lanes squares = Lanes::set(0);
  for (Index i = 0; i < n; i += Lanes::count) {
    const Index left = n - i;
    const Lanes key = load(k + i, left);
    const Lanes removal = key * load(k_k + i, left);
    squares = Lanes::fma(removal, removal, squares);
    store(removal, kk + i, left);
    store(key * Lanes::fma(load(a + i, left) - one, load(k_a + i, left), one), k + i, left);
  }
  const Scalar norm = std::sqrt(squares.total());
  const Lanes scale = Lanes::set(1 / (norm > Scalar(1e-12) ? norm : Scalar(1e-12)));
  for (Index i = 0; i < n; i += Lanes::count) store(load(kk + i, n - i) * scale, kk + i, n - i);
}

RWKV_ATTR inline void bonus7(const Scalar* r, const Scalar* k, const Scalar* r_k, const Scalar* v, Scalar* y,
                             Index n) noexcept {
  Lanes sum = Lanes::set(0);
  for (Index i = 0; i < n; i += Lanes::count) {
    sum = Lanes::fma(load(r + i, n - i) * load(k + i, n - i), load(r_k + i, n - i), sum);
  }
  const Lanes weight = Lanes::set(sum.total());
  for (Index i = 0; i < n; i += Lanes::count) {
    store(Lanes::fma(weight, load(v + i, n - i), load(y + i, n - i)), y + i, n - i);
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
