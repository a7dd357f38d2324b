// SPDX-License-Identifier: MIT
// What is done row by row between the matrix products.
#pragma once

#include <algorithm>
#include <span>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/core/matrix.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// Calls function(row) for each row, on all threads where there are enough rows for that to pay.
RWKV_NOINLINE inline void for_rows(Index n_rows, Workspace& workspace, FunctionRef<void(Index)> function) {
  constexpr Index grain = 4;  // a row takes about a microsecond, starting a region some more
  workspace.threads().run_split(n_rows, grain, [&](Range rows, int) {
    for (Index row = rows.begin; row < rows.end; ++row) function(row);
  });
}

/// y = row `row` of a table of numbers of any type; y has as many values as a row.
template <class Scalar>
void expand_row(const TensorView& table, Index row, Scalar* y, const KernelTable<Scalar>& kernels) noexcept {
  const Index row_bytes = table.n_bytes() / table.shape[0];
  kernels.expand[static_cast<std::size_t>(table.dtype)](table.data + row * row_bytes, table.shape[1], y);
}

/// A copy of the rows of x with these numbers.
template <class Scalar>
[[nodiscard]] MatrixView<Scalar> gather_rows(MatrixView<const Scalar> x, std::span<const Index> rows,
                                             Workspace::Frame& frame) {
  const auto gathered = frame.template matrix<Scalar>(static_cast<Index>(rows.size()), x.n_cols);
  for (Index i = 0; i < gathered.n_rows; ++i) {
    std::copy_n(x.row(rows[static_cast<std::size_t>(i)]), x.n_cols, gathered.row(i));
  }
  return gathered;
}

RWKV_NAMESPACE_END
