// SPDX-License-Identifier: MIT
// How products with stored matrices are computed: which kernel, in which tasks, with what scratch.
#pragma once

#include <algorithm>
#include <span>
#include <type_traits>

#include "rwkv/core/matrix.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/kernels/interleave.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

enum class MatrixLayout {
  by_output,   ///< [n_out, n_in]
  by_input,    ///< [n_in, n_out], or some of the columns of such a tensor
  interleaved  ///< [n_out, n_in], blocks with the rows of each 16 interleaved: kernels/interleave.hpp
};

/// Weights where they lie, in the type they are stored in.
struct StoredMatrix {
  TensorView tensor;
  MatrixLayout layout = MatrixLayout::by_output;
  Index first_output = 0;  ///< of those stored by input
  Index n_in = 0, n_out = 0;

  [[nodiscard]] bool is_by_input() const noexcept { return layout == MatrixLayout::by_input; }
  [[nodiscard]] bool is_interleaved() const noexcept { return layout == MatrixLayout::interleaved; }

  template <class Scalar>
  [[nodiscard]] WeightByInput<Scalar> by_input(const KernelTable<Scalar>& kernels) const noexcept {
    const DTypeInfo& type = info(tensor.dtype);
    const Index row_bytes = tensor.shape[1] / type.block_elements * type.block_bytes;
    const std::byte* const data = tensor.data + first_output / type.block_elements * type.block_bytes;
    return {data,
            n_in,
            row_bytes,
            type.block_elements,
            type.block_bytes,
            kernels.expand[static_cast<std::size_t>(tensor.dtype)]};
  }
};

namespace detail {

/// As many interleaved rows are separated at once: whole register tiles of every instruction set.
inline constexpr Index separated_rows = 96;

/// A product about to be computed.
template <class Scalar>
struct PreparedProduct {
  const StoredMatrix* weight;
  MatrixView<const Scalar> x;
  MatrixView<Scalar> y;
  const RoundedRow* rounded;  ///< the activations rounded, row by row, if the product is to see them so
  Index few_rows;             ///< up to so many rows are multiplied by one reading of the weights, without packing
  Scalar* sums;               ///< by input, for more inputs than one task adds up: [n_sums(), T, n_out] to be added

  [[nodiscard]] bool has_few_rows() const noexcept { return x.n_rows <= few_rows; }

  /// With few rows: into how many sums over inputs each output is cut.
  [[nodiscard]] Index n_sums() const noexcept {
    return weight->is_by_input() ? (weight->n_in + inputs_of_task - 1) / inputs_of_task : 1;
  }
  /// With few rows, a task takes this many outputs: some microseconds, whole cache lines of y, whole blocks. Where the
  /// sums over inputs are tasks enough, it takes them all, as rows are then read from end to end.
  [[nodiscard]] Index outputs_of_task() const noexcept {
    constexpr Index line = 16, task_bytes = 98304;
    if (n_sums() > 1) return weight->n_out;
    const Index grain = weight->is_by_input() ? std::max(line, info(weight->tensor.dtype).block_elements) : line;
    const Index n_bytes =
        weight->tensor.n_bytes() / weight->tensor.shape[weight->is_by_input() ? 1 : 0];  // of an output
    return grain * std::max<Index>(1, task_bytes / std::max<Index>(1, grain * n_bytes));
  }
  [[nodiscard]] Index n_tasks() const noexcept {
    const Index n_outputs = outputs_of_task();
    return has_few_rows() ? (weight->n_out + n_outputs - 1) / n_outputs * n_sums() : 0;
  }
};

/// Activations rounded row by row, in memory of the frame.
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

/// How a product is computed, with what it needs in memory of the frame. `others` are prepared already: several
/// products often have the same input.
template <class Scalar>
PreparedProduct<Scalar> prepare(const StoredMatrix& weight, MatrixView<const Scalar> x, MatrixView<Scalar> y,
                                std::span<const PreparedProduct<Scalar>> others, Workspace& workspace,
                                Workspace::Frame& frame) {
  PreparedProduct<Scalar> product{&weight, x, y, nullptr, max_few_rows, nullptr};
  if (weight.is_by_input()) {
    const bool has_sums = product.has_few_rows() && product.n_sums() > 1;
    if (has_sums) product.sums = frame.template take<Scalar>(product.n_sums() * y.n_rows * y.n_cols);
    return product;
  }
  const auto slot = static_cast<std::size_t>(weight.tensor.dtype);
  const RoundedProducts& kernels = workspace.kernels<Scalar>().rounded;
  const bool is_rounded = workspace.rounds_activations<Scalar>(weight.tensor.dtype);
  if (weight.is_interleaved()) {  // without kernels for them, rows are always separated
    const bool has_kernel = is_rounded && kernels.multiply_interleaved[slot] != nullptr;
    product.few_rows = has_kernel ? max_few_rows : 0;
  } else if (is_rounded) {
    product.few_rows = kernels.few_rows;
  } else if (workspace.kernels<Scalar>().split_gemm.multiply[slot] == nullptr) {
    product.few_rows = 2 * max_few_rows;
  }
  if (is_rounded) {
    for (const auto& other : others) {
      if (other.x.data == x.data && other.rounded != nullptr) product.rounded = other.rounded;
    }
    if (product.rounded == nullptr) product.rounded = round_rows(x, workspace, frame);
  }
  return product;
}

/// Task number `task` of a product with few rows.
template <class Scalar>
void multiply_few_rows(const PreparedProduct<Scalar>& product, Index task,
                       const KernelTable<Scalar>& kernels) noexcept {
  const StoredMatrix& weight = *product.weight;
  const Index n_in = weight.n_in, n_out = weight.n_out, n_tokens = product.x.n_rows;
  const Index n_sums = product.n_sums(), n_outputs = product.outputs_of_task();
  const Index begin = task / n_sums * n_outputs, end = std::min(begin + n_outputs, n_out);
  const auto slot = static_cast<std::size_t>(weight.tensor.dtype);
  Scalar* const y = product.y.data;
  if (weight.is_by_input()) {
    const Index sum = task % n_sums, first = sum * inputs_of_task, last = std::min(first + inputs_of_task, n_in);
    Scalar* const to = n_sums == 1 ? y : product.sums + sum * n_tokens * n_out;
    return kernels.gemv_by_input[slot](weight.by_input(kernels), first, last, product.x.data, n_tokens, to, n_out,
                                       begin, end);
  }
  if constexpr (std::is_same_v<Scalar, float>) {
    if (product.rounded != nullptr) {
      const auto& multiply = weight.is_interleaved() ? kernels.rounded.multiply_interleaved : kernels.rounded.multiply;
      return multiply[slot](weight.tensor.data, n_in, product.rounded, n_tokens, y, n_out, begin, end);
    }
  }
  for (Index t = 0; t < n_tokens; t += max_few_rows) {  // those after the first find the weights in the cache
    kernels.gemv[slot](weight.tensor.data, n_in, product.x.data + t * n_in, std::min(max_few_rows, n_tokens - t),
                       y + t * n_out, n_out, begin, end);
  }
}

/// y = what the tasks over its inputs gave, added up in their order.
template <class Scalar>
void add_sums(const PreparedProduct<Scalar>& product, Workspace& workspace) {
  constexpr Index grain = 1024;
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  const Index n = product.y.n_rows * product.y.n_cols;
  workspace.threads().run_split(n, grain, [&](Range range, int) {
    Scalar* const y = product.y.data + range.begin;
    std::copy_n(product.sums + range.begin, range.size(), y);
    for (Index i = 1; i < product.n_sums(); ++i) kernels.add(y, product.sums + i * n + range.begin, range.size());
  });
}

/// Those with few rows, in one parallel region if there is enough to do.
template <class Scalar>
void multiply_few_rows(std::span<const PreparedProduct<Scalar>> products, Workspace& workspace) {
  constexpr Index region_bytes = 65536;  // read in the time that threads need to meet
  Index n_tasks = 0, n_bytes = 0;
  for (const auto& product : products) {
    n_tasks += product.n_tasks();
    n_bytes += product.weight->tensor.n_bytes();
  }
  const auto compute = [&](Index task, int) {
    for (const auto& product : products) {
      const Index n = product.n_tasks();
      if (task < n) return multiply_few_rows(product, task, workspace.kernels<Scalar>());
      task -= n;
    }
  };
  if (n_bytes <= region_bytes) {
    for (Index task = 0; task < n_tasks; ++task) compute(task, 0);
  } else {
    workspace.threads().run(n_tasks, compute);
  }
  for (const auto& product : products) {
    if (product.has_few_rows() && product.n_sums() > 1) add_sums(product, workspace);
  }
}

/// Rows of interleaved weights times packed activations, piece by piece: rows are separated into `room`.
template <class Input, class Scalar>
void multiply_separated(const PackedProducts<Input, Scalar>& kernels, const PreparedProduct<Scalar>& product,
                        const std::byte* packed, Range rows, std::byte* room, std::byte* scratch) noexcept {
  const auto& [tensor, layout, first_output, n_in, n_out] = *product.weight;
  const Index row_bytes = tensor.n_bytes() / n_out;
  for (Index first = rows.begin; first < rows.end; first += separated_rows) {
    const Index n = std::min(separated_rows, rows.end - first);
    for (Index r = 0; r < n; r += interleaved_rows) {
      separate_rows(tensor.dtype, tensor.data + (first + r) * row_bytes, n_in, room + r * row_bytes);
    }
    kernels.multiply[static_cast<std::size_t>(tensor.dtype)](room, n_in, n_out, packed, product.x.n_rows,
                                                             product.y.data + first, 0, n, scratch);
  }
}

/// With many rows, x as the kernels want them.
template <class Input, class Scalar>
void multiply_packed(const PackedProducts<Input, Scalar>& kernels, const PreparedProduct<Scalar>& product,
                     const Input* x, Workspace& workspace) {
  ThreadPool& threads = workspace.threads();
  const StoredMatrix& weight = *product.weight;
  const Index n_in = weight.n_in, n_tokens = product.x.n_rows, n_blocks = kernels.n_blocks(n_tokens);
  const Index n_scratch = kernels.scratch_bytes(n_in);
  Workspace::Frame frame(workspace);
  auto* const packed = frame.template take<std::byte>(n_blocks * kernels.packed_bytes(n_in));
  auto* const scratch = frame.template take<std::byte>(n_scratch * threads.n_threads());
  threads.run_split(n_blocks, 1,
                    [&](Range blocks, int) { kernels.pack(x, n_tokens, n_in, packed, blocks.begin, blocks.end); });
  if (weight.is_by_input()) {
    const auto columns = weight.by_input(workspace.kernels<Scalar>());
    return threads.run_split(weight.n_out, columns.columns_of_task(), [&](Range range, int worker) {
      kernels.multiply_by_input(columns, weight.n_out, packed, n_tokens, product.y.data, range.begin, range.end,
                                scratch + worker * n_scratch);
    });
  }
  if (weight.is_interleaved()) {
    const Index n_room = separated_rows * weight.tensor.n_bytes() / weight.n_out;
    auto* const room = frame.template take<std::byte>(n_room * threads.n_threads());
    return threads.run_split(weight.n_out, separated_rows, [&](Range rows, int worker) {
      multiply_separated(kernels, product, packed, rows, room + worker * n_room, scratch + worker * n_scratch);
    });
  }
  threads.run_split(weight.n_out, kernels.rows, [&](Range rows, int worker) {
    kernels.multiply[static_cast<std::size_t>(weight.tensor.dtype)](weight.tensor.data, n_in, weight.n_out, packed,
                                                                    n_tokens, product.y.data, rows.begin, rows.end,
                                                                    scratch + worker * n_scratch);
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

/// Of weights stored by input.
template <class Scalar>
void multiply_many_rows_by_input(const PreparedProduct<Scalar>& product, Workspace& workspace) {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  const WeightByInput<Scalar> weight = product.weight->by_input(kernels);
  const Index n_out = product.weight->n_out, n_scratch = weight.columns_of_task() * weight.n_in;
  Workspace::Frame frame(workspace);
  auto* const scratch = frame.template take<Scalar>(n_scratch * workspace.n_threads());
  workspace.threads().run_split(n_out, weight.columns_of_task(), [&](Range outputs, int worker) {
    kernels.gemm_by_input(weight, product.x.data, product.x.n_rows, product.y.data, n_out, outputs.begin, outputs.end,
                          scratch + worker * n_scratch);
  });
}

template <class Scalar>
void multiply_many_rows(const PreparedProduct<Scalar>& product, Workspace& workspace) {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  const bool has_split = kernels.split_gemm.multiply[static_cast<std::size_t>(product.weight->tensor.dtype)] != nullptr;
  if (product.weight->is_by_input() && !has_split) return multiply_many_rows_by_input(product, workspace);
  if constexpr (std::is_same_v<Scalar, float>) {
    if (product.rounded != nullptr && product.x.n_rows <= kernels.rounded.most_rows) {
      return multiply_packed(kernels.rounded.gemm, product, product.rounded, workspace);
    }
  }
  Workspace::Frame frame(workspace);
  const MatrixView<const Scalar> x = product.rounded == nullptr ? product.x : restore_rows(product, workspace, frame);
  multiply_packed(has_split ? kernels.split_gemm : kernels.gemm, product, x.data, workspace);
}

}  // namespace detail
RWKV_NAMESPACE_END
