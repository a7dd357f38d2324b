// SPDX-License-Identifier: MIT
// Products with weight matrices, whatever type they are stored in.
#pragma once

#include <span>
#include <string>
#include <utility>

#include "rwkv/core/matrix.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// y = x W^T (+ b): a weight matrix W [n_out, n_in] that is read where it lies, in the type it is stored in.
class Linear {
public:
  Linear() = default;
  /// Throws ArgumentError unless the weight has two dimensions and real numbers.
  explicit Linear(TensorView weight) : weight_(std::move(weight)) {
    if (weight_.shape.rank() != 2 || !info(weight_.dtype).is_real) {
      throw ArgumentError({.item = "linear layer",
                           .expected = "a matrix of real numbers",
                           .found = std::string(name(weight_.dtype)) + " " + to_string(weight_.shape)});
    }
  }

  /// With a bias of n_out real numbers. Throws ArgumentError if it is anything else.
  Linear(TensorView weight, TensorView bias) : Linear(std::move(weight)) {
    bias_ = std::move(bias);
    if (bias_.n_elements() == n_out() && info(bias_.dtype).is_real) return;
    throw ArgumentError({.item = "linear layer",
                         .expected = "a bias of " + std::to_string(n_out()) + " real numbers",
                         .found = std::string(name(bias_.dtype)) + " " + to_string(bias_.shape)});
  }

  [[nodiscard]] const TensorView& weight() const noexcept { return weight_; }
  /// Without data if there is none.
  [[nodiscard]] const TensorView& bias() const noexcept { return bias_; }
  [[nodiscard]] Index n_in() const noexcept { return weight_.shape[1]; }
  [[nodiscard]] Index n_out() const noexcept { return weight_.shape[0]; }

  /// x is [T, n_in], y is [T, n_out]; y must not overlap x. Throws ArgumentError if a size does not fit.
  template <class Scalar>
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, Workspace& workspace) const;

private:
  TensorView weight_;
  TensorView bias_;
};

/// One product of a group. One without a linear is left out: a part that a model does not have.
template <class Scalar>
struct Product {
  const Linear* linear;
  MatrixView<const Scalar> x;
  MatrixView<Scalar> y;
};

namespace detail {

/// Rows of a share of gemv are cut at multiples of this many, so that a cache line of y has one writer.
inline constexpr Index gemv_grain = 16;

template <class Scalar>
void multiply_one_row(std::span<const Product<Scalar>> products, Workspace& workspace) {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  ThreadPool& threads = workspace.threads();
  threads.run([&](int worker) {
    for (const Product<Scalar>& product : products) {
      if (product.linear == nullptr) continue;
      const Linear& linear = *product.linear;
      const Range rows = split(linear.n_out(), gemv_grain, worker, threads.n_threads());
      const auto gemv = kernels.gemv[static_cast<std::size_t>(linear.weight().dtype)];
      gemv(linear.weight().data, linear.n_in(), product.x.data, product.y.data, rows.begin, rows.end);
    }
  });
}

template <class Scalar>
void multiply_many_rows(std::span<const Product<Scalar>> products, Index n_tokens, Workspace& workspace) {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  ThreadPool& threads = workspace.threads();
  const Index n_blocks = (n_tokens + kernels.gemm_tokens - 1) / kernels.gemm_tokens;
  for (const Product<Scalar>& product : products) {
    if (product.linear == nullptr) continue;
    const Linear& linear = *product.linear;
    const Index n_in = linear.n_in();
    Workspace::Frame frame(workspace);
    Scalar* const packed = frame.template take<Scalar>(n_blocks * kernels.gemm_tokens * n_in);
    Scalar* const scratch = frame.template take<Scalar>(kernels.gemm_rows * n_in * threads.n_threads());
    threads.run_split(n_blocks, 1, [&](Range blocks) {
      kernels.pack(product.x.data, n_tokens, n_in, packed, blocks.begin, blocks.end);
    });
    threads.run([&](int worker) {
      const Range rows = split(linear.n_out(), kernels.gemm_rows, worker, threads.n_threads());
      const auto gemm = kernels.gemm[static_cast<std::size_t>(linear.weight().dtype)];
      gemm(linear.weight().data, n_in, linear.n_out(), packed, n_tokens, product.y.data, rows.begin, rows.end,
           scratch + worker * kernels.gemm_rows * n_in);
    });
  }
}

template <class Scalar>
void add_bias(const Product<Scalar>& product, Workspace& workspace) {
  if (product.linear == nullptr || product.linear->bias().data == nullptr) return;
  const TensorView& bias = product.linear->bias();
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  Workspace::Frame frame(workspace);
  Scalar* const values = frame.template take<Scalar>(product.y.n_cols);
  kernels.expand[static_cast<std::size_t>(bias.dtype)](bias.data, product.y.n_cols, values);
  for (Index row = 0; row < product.y.n_rows; ++row) kernels.add(product.y.row(row), values, product.y.n_cols);
}

}  // namespace detail

/// Several independent products with the same number T of rows, as one parallel region where that pays (T = 1).
/// The result of each does not depend on the number of threads. The first one gives the number of rows.
/// Throws ArgumentError if a size does not fit.
template <class Scalar>
void multiply(std::span<const Product<Scalar>> products, Workspace& workspace) {
  if (products.empty()) return;
  const Index n_tokens = products[0].x.n_rows;
  for (const Product<Scalar>& product : products) {
    if (product.linear == nullptr) continue;
    check_shape("x", product.x, n_tokens, product.linear->n_in());
    check_shape("y", product.y, n_tokens, product.linear->n_out());
  }
  if (n_tokens == 1) {
    detail::multiply_one_row(products, workspace);
  } else if (n_tokens > 1) {
    detail::multiply_many_rows(products, n_tokens, workspace);
  }
  for (const Product<Scalar>& product : products) detail::add_bias(product, workspace);
}

template <class Scalar>
void Linear::apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, Workspace& workspace) const {
  const Product<Scalar> product{this, x, y};
  multiply<Scalar>(std::span(&product, 1), workspace);
}

RWKV_NAMESPACE_END
