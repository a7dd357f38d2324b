// SPDX-License-Identifier: MIT
// The WKV operator of RWKV-7, two ways: token by token, and by chunks of tokens.
//
//   S_t = S_{t-1} (diag(w_t) - kk_t^T (kk_t a_t)) + v_t^T k_t,   y_t = S_t r_t^T
//
// for every head by itself, with rows r, w, k, v, kk, a of N channels and S the state, N (value) x N (key): Peng et
// al., "RWKV-7 Goose with Expressive Dynamic State Evolution" (2025), and time_mixing of RWKV-v7/rwkv_v7_numpy.py
// (BlinkDL/RWKV-LM). w is the decay of a step, above e^{-e^{-1/2}} = 0.545; kk is the key to remove, of unit length.
#pragma once

#include <algorithm>
#include <limits>
#include <span>
#include <string>

#include "rwkv/arch/heads.hpp"
#include "rwkv/kernels/table.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// The tokens first .. first + n - 1 of a call, with the same state.
template <class Scalar>
[[nodiscard]] Wkv7Call<Scalar> tokens_of(Wkv7Call<Scalar> call, Index first, Index n) noexcept {
  const Index offset = first * call.n_head * call.head_size;
  call.n_tokens = n;
  for (const Scalar** row : {&call.r, &call.w, &call.k, &call.v, &call.kk, &call.a}) *row += offset;
  call.y += offset;
  return call;
}

namespace detail {

/// Calls of at least `shortest` tokens by chunks, the others token by token; all in one parallel region.
template <class Scalar>
void wkv7_calls(std::span<const Wkv7Call<Scalar>> calls, Index chunk_length, Index shortest, Workspace& workspace) {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  Index scratch_size = 0;
  for (const Wkv7Call<Scalar>& call : calls) {
    const Index longest_chunk = std::min(chunk_length, call.n_tokens);
    if (call.n_tokens >= shortest) scratch_size = std::max(scratch_size, wkv7_scratch(call.head_size, longest_chunk));
  }
  Workspace::Frame frame(workspace);
  const auto scratch = frame.template matrix<Scalar>(workspace.n_threads(), scratch_size);
  for_heads(calls, workspace, [&](const Wkv7Call<Scalar>& call, Index begin, Index end, int worker) {
    if (call.n_tokens < shortest) return kernels.wkv7(call, begin, end);
    kernels.wkv7_chunked(call, chunk_length, begin, end, scratch.row(worker));
  });
}

}  // namespace detail

/// The recurrence, token by token; one token is one step. Heads of all calls are shared out between threads, in one
/// region; the result does not depend on their number, nor on where a sequence is cut into calls.
template <class Scalar>
void wkv7_sequence(std::span<const Wkv7Call<Scalar>> calls, Workspace& workspace) {
  detail::wkv7_calls(calls, 1, std::numeric_limits<Index>::max(), workspace);
}

/// By chunks of chunk_length tokens, the last of a call may be shorter. Threads as in wkv7_sequence(); the result
/// depends on chunk_length, and on where a sequence is cut into calls, by rounding.
/// Throws ArgumentError unless chunk_length is positive.
template <class Scalar>
void wkv7_chunked(std::span<const Wkv7Call<Scalar>> calls, Index chunk_length, Workspace& workspace) {
  if (chunk_length < 1) {
    throw ArgumentError({.item = "chunk length", .expected = "1 or more", .found = std::to_string(chunk_length)});
  }
  detail::wkv7_calls(calls, chunk_length, 0, workspace);
}

/// Whichever way suits the number of tokens of each call. The choice looks at nothing else, so that neither the number
/// of threads nor the other calls change a result.
template <class Scalar>
void wkv7(std::span<const Wkv7Call<Scalar>> calls, Workspace& workspace) {
  constexpr Index chunk_length = 16, shortest_chunked = 64;
  detail::wkv7_calls(calls, chunk_length, shortest_chunked, workspace);
}

RWKV_NAMESPACE_END
