// SPDX-License-Identifier: MIT
// The WKV operator of RWKV-7, token by token.
//
//   S_t = S_{t-1} (diag(w_t) - kk_t^T (kk_t a_t)) + v_t^T k_t,   y_t = S_t r_t^T
//
// for every head by itself, with rows r, w, k, v, kk, a of N channels and S the state, N (value) x N (key): Peng et
// al., "RWKV-7 Goose with Expressive Dynamic State Evolution" (2025), and time_mixing of RWKV-v7/rwkv_v7_numpy.py
// (BlinkDL/RWKV-LM). w is the decay of a step, above e^{-e^{-1/2}} = 0.545; kk is the key to remove, of unit length.
#pragma once

#include <span>

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

/// The recurrence, token by token; one token is one step. Heads of all calls are shared out between threads, in one
/// region; the result does not depend on their number, nor on where a sequence is cut into calls.
template <class Scalar>
void wkv7_sequence(std::span<const Wkv7Call<Scalar>> calls, Workspace& workspace) {
  for_heads(calls, workspace, [&](const Wkv7Call<Scalar>& call, Index begin, Index end, int) {
    workspace.kernels<Scalar>().wkv7(call, begin, end);
  });
}

/// Whichever way suits the number of tokens of each call.
template <class Scalar>
void wkv7(std::span<const Wkv7Call<Scalar>> calls, Workspace& workspace) {
  wkv7_sequence(calls, workspace);
}

RWKV_NAMESPACE_END
