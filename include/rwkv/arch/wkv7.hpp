// SPDX-License-Identifier: MIT
// The WKV operator of RWKV-7, in three forms: for one token, O(1); for a sequence, token by token; for a sequence, by
// chunks of tokens. The first is the second with one token: wkv7_sequence serves both.
//
//   S_t = S_{t-1} (diag(w_t) - kk_t^T (kk_t a_t)) + v_t^T k_t,   y_t = S_t r_t^T
//
// for every head by itself, with rows r, w, k, v, kk, a of N channels and S the state, N (value) x N (key): Peng et
// al., "RWKV-7 Goose with Expressive Dynamic State Evolution" (2025), and time_mixing of RWKV-v7/rwkv_v7_numpy.py
// (BlinkDL/RWKV-LM). w is the decay of a step, above e^{-e^{-1/2}} = 0.545; kk is the key to remove, of unit length.
//
// The tokens 1 .. n of a chunk at once, from the state S_0 before them (the WY form of Yang et al., "Parallelizing
// Linear Transformers with the Delta Rule over Sequence Length" (2024), with decays): let D_t = w_1 ... w_t by
// elements, u_t = -S_{t-1} kk_t^T, and X_t = S_t diag(D_t)^{-1}. The recurrence becomes a sum of outer products,
// X_t = S_0 + sum_{i<=t} (u_i^T b_i + v_i^T k_i) with b_i = kk_i a_i / D_i and k_i for k_i / D_i, so that, with rows
// c_t = -kk_t D_{t-1} of C, rows q_t = r_t D_t of Q, and B, K, U, V alike,
//
//   U = C S_0^T + stril(C B^T) U + stril(C K^T) V,   row by row, each from those before it
//   Y = Q S_0^T + tril(Q B^T) U + tril(Q K^T) V,     stril, tril: below the diagonal, without and with it
//   S_n^T = diag(D_n) (S_0^T + B^T U + K^T V)
//
// 1 / D grows by e^{0.6065} a token at most: 1.6e4 for 16 tokens, 2.7e8 for 32, beyond float for 147. It is a scale
// that is taken off again in every product, so that little accuracy goes with it.
#pragma once

#include <algorithm>
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

template <class Scalar>
[[nodiscard]] HeadKernels<Scalar, Wkv7Call<Scalar>> wkv7_kernels(const Workspace& workspace) noexcept {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  return {kernels.wkv7, kernels.wkv7_chunked, wkv7_scratch};
}

}  // namespace detail

/// The recurrence, token by token; one token is one step. Heads of all calls are shared out between threads, in one
/// region; the result does not depend on their number, nor on where a sequence is cut into calls.
template <class Scalar>
void wkv7_sequence(std::span<const Wkv7Call<Scalar>> calls, Workspace& workspace) {
  const auto never = [](const Wkv7Call<Scalar>&) { return false; };
  run_heads(calls, detail::wkv7_kernels<Scalar>(workspace), 1, never, workspace);
}

/// By chunks of chunk_length tokens, the last of a call may be shorter. Threads as in wkv7_sequence(); the result
/// depends on chunk_length, and on where a sequence is cut into calls, by rounding.
/// Throws ArgumentError unless 1 <= chunk_length <= 64: beyond, the scale 1 / D comes near the largest float.
template <class Scalar>
void wkv7_chunked(std::span<const Wkv7Call<Scalar>> calls, Index chunk_length, Workspace& workspace) {
  if (chunk_length < 1 || chunk_length > 64) {
    throw ArgumentError({.item = "chunk length", .expected = "1 to 64", .found = std::to_string(chunk_length)});
  }
  const auto always = [](const Wkv7Call<Scalar>&) { return true; };
  run_heads(calls, detail::wkv7_kernels<Scalar>(workspace), chunk_length, always, workspace);
}

/// Whichever way suits the shape of each call. The choice looks at nothing else, so that neither the number of threads
/// nor the other calls change a result.
///
/// Heads of 64 have a recurrence in registers that chunks do not beat: chunks of 8 take 0.95 to 1.2 of its time for 64
/// to 256 tokens, 1.3 to 1.6 for 16 (cmake -DRWKV_BUILD_BENCH=ON; bench_wkv, bench_wkv avx2). Heads of 32 and 48 take
/// 0.5 to 0.85 of the time of theirs.
template <class Scalar>
void wkv7(std::span<const Wkv7Call<Scalar>> calls, Workspace& workspace) {
  constexpr Index chunk_length = 8, least_tokens = 16, least_head_size = 32, head_size_in_registers = 64;
  const auto by_chunks = [](const Wkv7Call<Scalar>& call) {
    return call.n_tokens >= least_tokens && call.head_size >= least_head_size &&
           call.head_size != head_size_in_registers;
  };
  run_heads(calls, detail::wkv7_kernels<Scalar>(workspace), chunk_length, by_chunks, workspace);
}

RWKV_NAMESPACE_END
