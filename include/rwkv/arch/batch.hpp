// SPDX-License-Identifier: MIT
// The rows of one pass through the layers, what layers hand over to each other besides the residual stream, and the
// token shift, by which rows see those before them.
#pragma once

#include <algorithm>
#include <span>
#include <type_traits>

#include "rwkv/core/matrix.hpp"
#include "rwkv/nn/rows.hpp"
#include "rwkv/state.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// The rows in a batch that belong to one sequence, and the values of that sequence's State.
template <class Scalar>
struct Segment {
  Index first_row;
  Index n_rows;
  Scalar* state;
  Index position = 0;  ///< of its first row in the sequence, for models with an n_ctx
};

template <class Scalar>
class Embedding;  // arch/embedding.hpp

/// The rows of one pass through the layers: those of its sequences, one after the other, covering all rows.
template <class Scalar>
struct Batch {
  std::span<const Segment<Scalar>> segments;
  Workspace& workspace;
  /// [T, A], RWKV-7: the values of the first layer, which it leaves here for the layers after it.
  MatrixView<Scalar> v_first = {};
  /// The token of each row, and what makes embeddings of tokens: for the copy head, RWKV-7a, 7b and 8.
  std::span<const Token> tokens = {};
  const Embedding<Scalar>* embedding = nullptr;
};

/// One blend of each row with the row before it.
template <class Scalar>
struct Mix {
  const Scalar* mu;      ///< [C]
  MatrixView<Scalar> y;  ///< [T, C], not x
};

/// The row before each row of x: the one above it, or for the first of a sequence its carried row, x.n_cols values at
/// `carry` in its State.
template <class Scalar>
[[nodiscard]] const Scalar** previous_rows(MatrixView<const Scalar> x, Index carry, const Batch<Scalar>& batch,
                                           Workspace::Frame& frame) {
  const Scalar** const previous = frame.template take<const Scalar*>(x.n_rows);
  for (const Segment<Scalar>& segment : batch.segments) {
    for (Index row = segment.first_row; row < segment.first_row + segment.n_rows; ++row) {
      previous[row] = row == segment.first_row ? segment.state + carry : x.row(row - 1);
    }
  }
  return previous;
}

/// The call of an operator for the rows of each sequence, from `rows`, its call for all rows of the batch.
/// set_state(call, values) points a call to its tensors in the State of its sequence.
template <class Call, class Scalar, class Function>
[[nodiscard]] std::span<const Call> per_sequence(const Call& rows, const Batch<Scalar>& batch, Workspace::Frame& frame,
                                                 Function&& set_state) {
  const std::size_t n = batch.segments.size();
  Call* const calls = frame.template take<Call>(static_cast<Index>(n));
  for (std::size_t i = 0; i < n; ++i) {
    calls[i] = tokens_of(rows, batch.segments[i].first_row, batch.segments[i].n_rows);
    set_state(calls[i], batch.segments[i].state);
  }
  return {calls, n};
}
/// The same for operators with one tensor in the State, at the offset `state`.
template <class Call, class Scalar>
[[nodiscard]] std::span<const Call> per_sequence(const Call& rows, const Batch<Scalar>& batch, Workspace::Frame& frame,
                                                 Index state) {
  return per_sequence(rows, batch, frame, [state](Call& call, Scalar* values) { call.state = values + state; });
}

/// Makes the last row of each sequence its carried row.
template <class Scalar>
void carry_last_rows(MatrixView<const Scalar> x, Index carry, const Batch<Scalar>& batch) {
  for (const Segment<Scalar>& segment : batch.segments) {
    if (segment.n_rows == 0) continue;
    std::copy_n(x.row(segment.first_row + segment.n_rows - 1), x.n_cols, segment.state + carry);
  }
}

/// Token shift: y_t = x_t mu + x_{t-1} (1 - mu), for several mu, which are not confined to 0..1.
///
/// x is [T, C]. x_{t-1} is the row above or the carried one (see previous_rows); afterwards the last row is carried.
template <class Scalar>
void token_shift(MatrixView<const Scalar> x, Index carry, std::span<const std::type_identity_t<Mix<Scalar>>> mixes,
                 const Batch<Scalar>& batch) {
  const KernelTable<Scalar>& kernels = batch.workspace.template kernels<Scalar>();
  Workspace::Frame frame(batch.workspace);
  const Scalar** const previous = previous_rows(x, carry, batch, frame);
  for_rows(x.n_rows, batch.workspace, [&](Index row) {
    for (const Mix<Scalar>& mix : mixes) kernels.mix(x.row(row), previous[row], mix.mu, mix.y.row(row), x.n_cols);
  });
  carry_last_rows(x, carry, batch);
}

RWKV_NAMESPACE_END
