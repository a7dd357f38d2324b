// SPDX-License-Identifier: MIT
// The WKV operator of RWKV-5 and RWKV-6, token by token.
//
//   y_t = r_t (S_{t-1} + diag(u) k_t^T v_t),   S_t = diag(w_t) S_{t-1} + k_t^T v_t
//
// for every head by itself, with rows r, k, v, w, u of N channels and S the state, N (key) x N (value): Peng et al.,
// "Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence" (2024), and RUN_CUDA_RWKV6 of
// rwkv_pip_package/src/rwkv/model.py (BlinkDL/ChatRWKV). w is the decay of a step, from 0 to 1, both included; RWKV-5
// has one row of it for all tokens. The part of the current token is r_t diag(u) k_t^T v_t = (sum_c r_c u_c k_c) v_t.
#pragma once

#include <span>

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

/// The recurrence, token by token; one token is one step. Heads of all calls are shared out between threads, in one
/// region; the result does not depend on their number, nor on where a sequence is cut into calls.
template <class Scalar>
void wkv5_sequence(std::span<const Wkv5Call<Scalar>> calls, Workspace& workspace) {
  for_heads(calls, workspace, [&](const Wkv5Call<Scalar>& call, Index begin, Index end, int) {
    workspace.kernels<Scalar>().wkv5(call, begin, end);
  });
}

/// Whichever way suits the number of tokens of each call.
template <class Scalar>
void wkv5(std::span<const Wkv5Call<Scalar>> calls, Workspace& workspace) {
  wkv5_sequence(calls, workspace);
}

RWKV_NAMESPACE_END
