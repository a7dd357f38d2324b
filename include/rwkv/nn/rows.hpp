// SPDX-License-Identifier: MIT
// What happens to the rows of a batch between the matrix products.
#pragma once

#include <algorithm>
#include <array>
#include <span>

#include "rwkv/core/matrix.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// Calls function(row) for each row, on all threads where there are enough rows for that to pay.
template <class Function>
void for_rows(Index n_rows, Workspace& workspace, Function&& function) {
  constexpr Index grain = 4;  // a row takes about a microsecond, starting a region some more
  workspace.threads().run_split(n_rows, grain, [&](Range rows) {
    for (Index row = rows.begin; row < rows.end; ++row) function(row);
  });
}

/// The rows in a batch that belong to one sequence, and the values of that sequence's State.
template <class Scalar>
struct Segment {
  Index first_row;
  Index n_rows;
  Scalar* state;
};

/// The rows of one pass through the layers: those of its sequences, one after the other, covering all rows.
template <class Scalar>
struct Batch {
  std::span<const Segment<Scalar>> segments;
  Workspace& workspace;
};

/// One blend of each row with the row before it.
template <class Scalar>
struct Mix {
  const Scalar* mu;      ///< [C]
  MatrixView<Scalar> y;  ///< [T, C], not x
};

/// Token shift: y_t = x_t mu + x_{t-1} (1 - mu), for several mu.
///
/// x is [T, C]. The row before the first of a sequence is its carried row, C values at `carry` in its State; afterwards
/// the carried row is its last one. mu is not confined to 0..1.
template <class Scalar, std::size_t n_mixes>
void token_shift(MatrixView<const Scalar> x, Index carry, const std::array<Mix<Scalar>, n_mixes>& mixes,
                 const Batch<Scalar>& batch) {
  const KernelTable<Scalar>& kernels = batch.workspace.template kernels<Scalar>();
  Workspace::Frame frame(batch.workspace);
  const Scalar** const previous = frame.template take<const Scalar*>(x.n_rows);
  for (const Segment<Scalar>& segment : batch.segments) {
    for (Index row = segment.first_row; row < segment.first_row + segment.n_rows; ++row) {
      previous[row] = row == segment.first_row ? segment.state + carry : x.row(row - 1);
    }
  }
  for_rows(x.n_rows, batch.workspace, [&](Index row) {
    for (const Mix<Scalar>& mix : mixes) kernels.mix(x.row(row), previous[row], mix.mu, mix.y.row(row), x.n_cols);
  });
  for (const Segment<Scalar>& segment : batch.segments) {
    if (segment.n_rows == 0) continue;
    std::copy_n(x.row(segment.first_row + segment.n_rows - 1), x.n_cols, segment.state + carry);
  }
}

RWKV_NAMESPACE_END
