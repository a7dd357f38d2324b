// SPDX-License-Identifier: MIT
// Products with weight matrices, whatever type they are stored in.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/matrix.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/nn/products.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// y = x W^T (+ b), or y = x W: a matrix of weights that is read where it lies, in the type it is stored in.
class Linear {
public:
  Linear() = default;
  /// For W [n_out, n_in]: y = x W^T. Throws ArgumentError unless the weight has two dimensions and real numbers.
  explicit Linear(TensorView weight) {
    check(weight);
    const Index n_out = weight.shape[0], n_in = weight.shape[1];
    weight_ = {std::move(weight), MatrixLayout::by_output, 0, n_in, n_out};
  }

  /// With a bias of n_out real numbers. Throws ArgumentError if it is anything else.
  Linear(TensorView weight, TensorView bias) : Linear(std::move(weight)) {
    bias_ = std::move(bias);
    if (bias_.n_elements() == n_out() && info(bias_.dtype).is_real) return;
    throw ArgumentError({.item = "linear layer",
                         .expected = "a bias of " + std::to_string(n_out()) + " real numbers",
                         .found = std::string(name(bias_.dtype)) + " " + to_string(bias_.shape)});
  }

  /// For W [n_in, n_out]: y = x W. With few rows x, weights of inputs that are zero in all of them are not read.
  /// Throws ArgumentError as above.
  [[nodiscard]] static Linear by_input(TensorView weight) {
    check(weight);
    const Index n_out = weight.shape[1];
    return by_input(std::move(weight), 0, n_out);
  }
  /// The same for n_out columns of W from first_output on.
  /// Throws ArgumentError, besides, unless these are columns of W, and begin with a block where it is stored in blocks.
  [[nodiscard]] static Linear by_input(TensorView weight, Index first_output, Index n_out) {
    check(weight);
    const Index n_in = weight.shape[0], n_columns = weight.shape[1];
    const bool is_inside = first_output >= 0 && n_out >= 0 && first_output <= n_columns - n_out;
    if (!is_inside || first_output % info(weight.dtype).block_elements != 0) {
      throw ArgumentError({.item = "linear layer",
                           .expected = "columns of " + std::string(name(weight.dtype)) + " " + to_string(weight.shape),
                           .found = std::to_string(n_out) + " from column " + std::to_string(first_output)});
    }
    Linear linear;
    linear.weight_ = {std::move(weight), MatrixLayout::by_input, first_output, n_in, n_out};
    return linear;
  }

  /// y = x W^T, as Linear(weight), of a copy with the rows of each 16 interleaved: for processors that multiply 16 rows
  /// at once (AVX-512 VNNI) it takes less arithmetic, others separate them each time. Results differ by rounding only.
  /// Throws ArgumentError, besides, unless can_interleave(weight.dtype) and n_out is a multiple of 16.
  [[nodiscard]] static Linear interleaved(const TensorView& weight) {
    check(weight);
    const Index n_out = weight.shape[0], n_in = weight.shape[1];
    if (!can_interleave(weight.dtype) || n_out % interleaved_rows != 0) {
      throw ArgumentError({.item = "linear layer",
                           .expected = "a multiple of 16 rows of q8_0, q4_0 or iq4_nl",
                           .found = std::string(name(weight.dtype)) + " " + to_string(weight.shape)});
    }
    const auto copy = std::make_shared<Buffer<std::byte>>(weight.n_bytes());
    const Index n_bytes = n_out == 0 ? 0 : weight.n_bytes() / n_out * interleaved_rows;
    for (Index at = 0; at < weight.n_bytes(); at += n_bytes) {
      interleave_rows(weight.dtype, weight.data + at, n_in, copy->data() + at);
    }
    Linear linear;
    linear.weight_ = {{weight.dtype, weight.shape, copy->data(), copy}, MatrixLayout::interleaved, 0, n_in, n_out};
    return linear;
  }

  [[nodiscard]] const StoredMatrix& weight() const noexcept { return weight_; }
  /// Without data if there is none.
  [[nodiscard]] const TensorView& bias() const noexcept { return bias_; }
  [[nodiscard]] Index n_in() const noexcept { return weight_.n_in; }
  [[nodiscard]] Index n_out() const noexcept { return weight_.n_out; }

  /// x is [T, n_in], y is [T, n_out]; y must not overlap x. Throws ArgumentError if a size does not fit.
  template <class Scalar>
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, Workspace& workspace) const;

private:
  static void check(const TensorView& weight) {
    if (weight.shape.rank() == 2 && info(weight.dtype).is_real) return;
    throw ArgumentError({.item = "linear layer",
                         .expected = "a matrix of real numbers",
                         .found = std::string(name(weight.dtype)) + " " + to_string(weight.shape)});
  }

  StoredMatrix weight_;
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

/// Several independent products with the same number T of rows, as one parallel region where that pays (few rows).
/// The result of each does not depend on the number of threads. The first one gives the number of rows.
/// Throws ArgumentError if a size does not fit.
template <class Scalar>
void multiply(std::span<const Product<Scalar>> products, Workspace& workspace) {
  if (products.empty()) return;
  const Index n_tokens = products[0].x.n_rows;
  if (n_tokens == 0) return;
  for (const Product<Scalar>& product : products) {
    if (product.linear == nullptr) continue;
    check_shape("x", product.x, n_tokens, product.linear->n_in());
    check_shape("y", product.y, n_tokens, product.linear->n_out());
  }
  Workspace::Frame frame(workspace);
  auto* const all = frame.template take<detail::PreparedProduct<Scalar>>(static_cast<Index>(products.size()));
  std::span<const detail::PreparedProduct<Scalar>> prepared;
  for (const auto& [linear, x, y] : products) {
    if (linear == nullptr) continue;
    if constexpr (std::is_same_v<Scalar, float>) {
      if (const ProductObserver& observe = workspace.product_observer()) observe(linear->weight().tensor, x);
    }
    all[prepared.size()] = detail::prepare(linear->weight(), x, y, prepared, workspace, frame);
    prepared = {all, prepared.size() + 1};
  }
  detail::multiply_few_rows(prepared, workspace);
  for (const auto& product : prepared) {
    if (!product.has_few_rows()) detail::multiply_many_rows(product, workspace);
  }
  for (const Product<Scalar>& product : products) detail::add_bias(product, workspace);
}

template <class Scalar>
void Linear::apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, Workspace& workspace) const {
  const Product<Scalar> product{this, x, y};
  multiply<Scalar>(std::span(&product, 1), workspace);
}

RWKV_NAMESPACE_END
