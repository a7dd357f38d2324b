// SPDX-License-Identifier: MIT
// The WKV operator of RWKV-5 and RWKV-6, two ways: token by token, and by chunks of tokens.
//
//   y_t = r_t (S_{t-1} + diag(u) k_t^T v_t),   S_t = diag(w_t) S_{t-1} + k_t^T v_t
//
// for every head by itself, with rows r, k, v, w, u of N channels and S the state, N (key) x N (value): Peng et al.,
// "Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence" (2024), and RUN_CUDA_RWKV6 of
// rwkv_pip_package/src/rwkv/model.py (BlinkDL/ChatRWKV). w is the decay of a step, from 0 to 1, both included; RWKV-5
// has one row of it for all tokens. The part of the current token is r_t diag(u) k_t^T v_t = (sum_c r_c u_c k_c) v_t.
#pragma once

#include <algorithm>
#include <limits>
#include <span>
#include <string>

#include "rwkv/arch/heads.hpp"
#include "rwkv/kernels/table.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// The tokens first .. first + n - 1 of a call, with the same bonus and state.
template <class Scalar>
[[nodiscard]] Wkv5Call<Scalar> tokens_of(Wkv5Call<Scalar> call, Index first, Index n) noexcept {
  const Index offset = first * call.n_head * call.head_size;
  call.n_tokens = n;
  call.r += offset;
  call.k += offset;
  call.v += offset;
  call.w += first * call.w_stride;
  call.y += offset;
  return call;
}

namespace detail {

/// Calls of at least `shortest` tokens by chunks, the others token by token; all in one parallel region.
template <class Scalar>
void wkv5_calls(std::span<const Wkv5Call<Scalar>> calls, Index chunk_length, Index shortest, Workspace& workspace) {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  Index scratch_size = 0;
  for (const Wkv5Call<Scalar>& call : calls) {
    const Index longest_chunk = std::min(chunk_length, call.n_tokens);
    if (call.n_tokens >= shortest) scratch_size = std::max(scratch_size, wkv5_scratch(call.head_size, longest_chunk));
  }
  Workspace::Frame frame(workspace);
  const auto scratch = frame.template matrix<Scalar>(workspace.n_threads(), scratch_size);
  for_heads(calls, workspace, [&](const Wkv5Call<Scalar>& call, Index begin, Index end, int worker) {
    if (call.n_tokens < shortest) return kernels.wkv5(call, begin, end);
    kernels.wkv5_chunked(call, chunk_length, begin, end, scratch.row(worker));
  });
}

}  // namespace detail

/// The recurrence, token by token; one token is one step. Heads of all calls are shared out between threads, in one
/// region; the result does not depend on their number, nor on where a sequence is cut into calls.
template <class Scalar>
void wkv5_sequence(std::span<const Wkv5Call<Scalar>> calls, Workspace& workspace) {
  detail::wkv5_calls(calls, 1, std::numeric_limits<Index>::max(), workspace);
}

/// By chunks of chunk_length tokens, the last of a call may be shorter. Threads as in wkv5_sequence(); the result
/// depends on chunk_length, and on where a sequence is cut into calls, by rounding.
/// Throws ArgumentError unless chunk_length is positive.
template <class Scalar>
void wkv5_chunked(std::span<const Wkv5Call<Scalar>> calls, Index chunk_length, Workspace& workspace) {
  if (chunk_length < 1) {
    throw ArgumentError({.item = "chunk length", .expected = "1 or more", .found = std::to_string(chunk_length)});
  }
  detail::wkv5_calls(calls, chunk_length, 0, workspace);
}

/// Whichever way suits the number of tokens of each call. The choice looks at nothing else, so that neither the number
/// of threads nor the other calls change a result.
template <class Scalar>
void wkv5(std::span<const Wkv5Call<Scalar>> calls, Workspace& workspace) {
  constexpr Index chunk_length = 16, shortest_chunked = 64;
  detail::wkv5_calls(calls, chunk_length, shortest_chunked, workspace);
}

RWKV_NAMESPACE_END
