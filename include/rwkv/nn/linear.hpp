// SPDX-License-Identifier: MIT
// Products with weight matrices, whatever type they are stored in.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <type_traits>
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

/// A product and its activations rounded, row by row, if it is to see them so.
template <class Scalar>
struct PreparedProduct {
  const Linear* linear;
  MatrixView<const Scalar> x;
  MatrixView<Scalar> y;
  const RoundedRow* rounded;
  Index few_rows;  ///< up to so many rows are multiplied by one reading of the weights, without packing

  /// With few rows, a task takes this many rows of weights: some microseconds, and whole cache lines of y.
  [[nodiscard]] Index rows_of_task() const noexcept {
    constexpr Index line = 16, task_bytes = 98304;
    const TensorView& weight = linear->weight();
    return line * std::max<Index>(1, task_bytes / line * weight.shape[0] / std::max<Index>(1, weight.n_bytes()));
  }
  [[nodiscard]] Index n_tasks() const noexcept {
    return has_few_rows() ? (linear->n_out() + rows_of_task() - 1) / rows_of_task() : 0;
  }

  [[nodiscard]] bool has_few_rows() const noexcept { return x.n_rows <= few_rows; }
};

/// In memory of the frame.
template <class Scalar>
const RoundedRow* round_rows(MatrixView<const Scalar> x, Workspace& workspace, Workspace::Frame& frame) {
  auto* const rows = frame.template take<RoundedRow>(x.n_rows);
  if constexpr (std::is_same_v<Scalar, float>) {  // doubles are never rounded
    const Index n_bytes = rounded_bytes(x.n_cols);
    auto* const memory = frame.template take<std::byte>(x.n_rows * n_bytes);
    workspace.threads().run_split(x.n_rows, 1, [&](Range range, int) {
      for (Index t = range.begin; t < range.end; ++t) {
        rows[t] = {memory + t * n_bytes, x.n_cols / group_size};
        workspace.kernels<float>().rounded.round(x.row(t), rows[t]);
      }
    });
  }
  return rows;
}

template <class Scalar>
std::span<PreparedProduct<Scalar>> prepare(std::span<const Product<Scalar>> products, Workspace& workspace,
                                           Workspace::Frame& frame) {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  auto* const all = frame.template take<PreparedProduct<Scalar>>(static_cast<Index>(products.size()));
  std::size_t n = 0;
  for (const auto& [linear, x, y] : products) {
    if (linear == nullptr) continue;
    const DType dtype = linear->weight().dtype;
    const RoundedRow* rounded = nullptr;
    Index few_rows = max_few_rows;
    if (workspace.rounds_activations<Scalar>(dtype)) {
      few_rows = kernels.rounded.few_rows;
      for (std::size_t i = 0; i < n; ++i) {  // several products often have the same input
        if (all[i].x.data == x.data && all[i].rounded != nullptr) rounded = all[i].rounded;
      }
      if (rounded == nullptr) rounded = round_rows(x, workspace, frame);
    }
    all[n++] = {linear, x, y, rounded, few_rows};
  }
  return {all, n};
}

/// Outputs [begin, end) of a product with few rows.
template <class Scalar>
void multiply_few_rows(const PreparedProduct<Scalar>& product, Index begin, Index end,
                       const KernelTable<Scalar>& kernels) noexcept {
  const TensorView& weight = product.linear->weight();
  const auto slot = static_cast<std::size_t>(weight.dtype);
  const Index n_in = product.linear->n_in(), n_out = product.linear->n_out(), n_tokens = product.x.n_rows;
  Scalar* const y = product.y.data;
  if constexpr (std::is_same_v<Scalar, float>) {
    if (product.rounded != nullptr) {
      return kernels.rounded.multiply[slot](weight.data, n_in, product.rounded, n_tokens, y, n_out, begin, end);
    }
  }
  kernels.gemv[slot](weight.data, n_in, product.x.data, n_tokens, y, n_out, begin, end);
}

/// Those with few rows, in one parallel region.
template <class Scalar>
void multiply_few_rows(std::span<const PreparedProduct<Scalar>> products, Workspace& workspace) {
  Index n_tasks = 0;
  for (const auto& product : products) n_tasks += product.n_tasks();
  workspace.threads().run(n_tasks, [&](Index task, int) {
    for (const auto& product : products) {
      if (const Index n = product.n_tasks(); task >= n) {
        task -= n;
        continue;
      }
      const Index rows = product.rows_of_task(), begin = task * rows;
      const Index end = std::min(begin + rows, product.linear->n_out());
      return multiply_few_rows(product, begin, end, workspace.kernels<Scalar>());
    }
  });
}

/// With rounded activations, in integers.
inline void multiply_many_rounded_rows(const PreparedProduct<float>& product, Workspace& workspace) {
  const RoundedProducts& kernels = workspace.kernels<float>().rounded;
  ThreadPool& threads = workspace.threads();
  const TensorView& weight = product.linear->weight();
  const Index n_in = product.linear->n_in(), n_out = product.linear->n_out(), n_tokens = product.x.n_rows;
  const Index n_blocks = (n_tokens + kernels.gemm_tokens - 1) / kernels.gemm_tokens;
  const Index scratch_bytes = kernels.gemm_rows * n_in * 3 / 2;
  Workspace::Frame frame(workspace);
  auto* const packed = frame.take<std::byte>(n_blocks * (n_in / group_size) * kernels.group_bytes);
  auto* const scratch = frame.take<std::byte>(scratch_bytes * threads.n_threads());
  threads.run_split(n_blocks, 1, [&](Range blocks, int) {
    kernels.pack(product.rounded, n_tokens, packed, blocks.begin, blocks.end);
  });
  threads.run_split(n_out, kernels.gemm_rows, [&](Range rows, int worker) {
    kernels.gemm[static_cast<std::size_t>(weight.dtype)](weight.data, n_in, packed, n_tokens, product.y.data, n_out,
                                                         rows.begin, rows.end, scratch + worker * scratch_bytes);
  });
}

/// The activations as floats again.
template <class Scalar>
MatrixView<const Scalar> restore_rows(const PreparedProduct<Scalar>& product, Workspace& workspace,
                                      Workspace::Frame& frame) {
  if constexpr (std::is_same_v<Scalar, float>) {
    const MatrixView<float> x = frame.template matrix<float>(product.x.n_rows, product.x.n_cols);
    workspace.threads().run_split(x.n_rows, 1, [&](Range range, int) {
      for (Index t = range.begin; t < range.end; ++t) {
        workspace.kernels<float>().rounded.restore(product.rounded[t], x.row(t));
      }
    });
    return x;
  } else {
    return product.x;
  }
}

template <class Scalar>
void multiply_many_rows(const PreparedProduct<Scalar>& product, Workspace& workspace) {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  if constexpr (std::is_same_v<Scalar, float>) {
    if (product.rounded != nullptr && kernels.rounded.pack != nullptr) {
      return multiply_many_rounded_rows(product, workspace);
    }
  }
  ThreadPool& threads = workspace.threads();
  const Linear& linear = *product.linear;
  const Index n_in = linear.n_in(), n_tokens = product.x.n_rows;
  const Index n_blocks = (n_tokens + kernels.gemm_tokens - 1) / kernels.gemm_tokens;
  Workspace::Frame frame(workspace);
  Scalar* const packed = frame.template take<Scalar>(n_blocks * kernels.gemm_tokens * n_in);
  Scalar* const scratch = frame.template take<Scalar>(kernels.gemm_rows * n_in * threads.n_threads());
  const MatrixView<const Scalar> x = product.rounded == nullptr ? product.x : restore_rows(product, workspace, frame);
  threads.run_split(n_blocks, 1,
                    [&](Range blocks, int) { kernels.pack(x.data, n_tokens, n_in, packed, blocks.begin, blocks.end); });
  threads.run_split(linear.n_out(), kernels.gemm_rows, [&](Range rows, int worker) {
    const auto gemm = kernels.gemm[static_cast<std::size_t>(linear.weight().dtype)];
    gemm(linear.weight().data, n_in, linear.n_out(), packed, n_tokens, product.y.data, rows.begin, rows.end,
         scratch + worker * kernels.gemm_rows * n_in);
  });
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
  const std::span<const detail::PreparedProduct<Scalar>> prepared = detail::prepare(products, workspace, frame);
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
