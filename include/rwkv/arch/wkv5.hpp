// SPDX-License-Identifier: MIT
// The WKV operator of RWKV-5 and RWKV-6, in three forms: for one token, O(1); for a sequence, token by token; for a
// sequence, by chunks of tokens. The first is the second with one token: wkv5_sequence serves both.
//
//   y_t = r_t (S_{t-1} + diag(u) k_t^T v_t),   S_t = diag(w_t) S_{t-1} + k_t^T v_t
//
// for every head by itself, with rows r, k, v, w, u of N channels and S the state, N (key) x N (value): Peng et al.,
// "Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence" (2024), and RUN_CUDA_RWKV6 of
// rwkv_pip_package/src/rwkv/model.py (BlinkDL/ChatRWKV). w is the decay of a step, from 0 to 1, both included; RWKV-5
// has one row of it for all tokens. The part of the current token is r_t diag(u) k_t^T v_t = (sum_c r_c u_c k_c) v_t.
//
// The tokens 1 .. n of a chunk at once, from the state S_0 before them, with all products elementwise:
//
//   Y = Q S_0 + A V,   S_n = diag(w_1 ... w_n) S_0 + K^T V
//   rows of Q: r_t w_1 ... w_{t-1};   rows of K: k_i w_{i+1} ... w_n;   rows of V: v_i
//   A[t, i] = sum_c r_t w_{i+1} ... w_{t-1} k_i for i < t,   sum_c r_t u k_t for i = t,   0 for i > t
//
// All decays in it are products of w, never quotients or exponents: whatever they are, nothing overflows, and what
// underflows is 0, as it should.
#pragma once

#include <algorithm>
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

template <class Scalar>
[[nodiscard]] HeadKernels<Scalar, Wkv5Call<Scalar>> wkv5_kernels(const Workspace& workspace) noexcept {
  const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
  return {kernels.wkv5, kernels.wkv5_chunked, wkv5_scratch};
}

}  // namespace detail

/// The recurrence, token by token; one token is one step. Heads of all calls are shared out between threads, in one
/// region; the result does not depend on their number, nor on where a sequence is cut into calls.
template <class Scalar>
void wkv5_sequence(std::span<const Wkv5Call<Scalar>> calls, Workspace& workspace) {
  const auto never = [](const Wkv5Call<Scalar>&) { return false; };
  run_heads(calls, detail::wkv5_kernels<Scalar>(workspace), 1, never, workspace);
}

/// By chunks of chunk_length tokens, the last of a call may be shorter. Threads as in wkv5_sequence(); the result
/// depends on chunk_length, and on where a sequence is cut into calls, by rounding.
/// Throws ArgumentError unless chunk_length is positive.
template <class Scalar>
void wkv5_chunked(std::span<const Wkv5Call<Scalar>> calls, Index chunk_length, Workspace& workspace) {
  if (chunk_length < 1) {
    throw ArgumentError({.item = "chunk length", .expected = "1 or more", .found = std::to_string(chunk_length)});
  }
  const auto always = [](const Wkv5Call<Scalar>&) { return true; };
  run_heads(calls, detail::wkv5_kernels<Scalar>(workspace), chunk_length, always, workspace);
}

/// Whichever way suits the shape of each call. The choice looks at nothing else, so that neither the number of threads
/// nor the other calls change a result.
///
/// Heads of 64, 16 to 256 tokens, 1 thread: chunks of 16 take 0.78 to 0.94 of the time of the recurrence with AVX-512,
/// 0.5 to 0.8 with AVX2 (cmake -DRWKV_BUILD_BENCH=ON; bench_wkv, bench_wkv avx2). Smaller heads gain nothing.
template <class Scalar>
void wkv5(std::span<const Wkv5Call<Scalar>> calls, Workspace& workspace) {
  constexpr Index chunk_length = 16, least_tokens = 16, least_head_size = 48;
  const auto by_chunks = [](const Wkv5Call<Scalar>& call) {
    return call.n_tokens >= least_tokens && call.head_size >= least_head_size;
  };
  run_heads(calls, detail::wkv5_kernels<Scalar>(workspace), chunk_length, by_chunks, workspace);
}

RWKV_NAMESPACE_END
