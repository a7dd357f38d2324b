// SPDX-License-Identifier: MIT
// Sharing out the heads of several calls of an operator between threads.
#pragma once

#include <algorithm>
#include <span>

#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// Calls function(call, begin, end, worker) so that the ranges of heads cover all heads of all calls: one parallel
/// region, in which the heads of all calls form one list. The worker is a number below workspace.n_threads().
template <class Call, class Function>
void for_heads(std::span<const Call> calls, Workspace& workspace, Function&& function) {
  Index n_heads = 0;
  for (const Call& call : calls) n_heads += call.n_head;
  if (n_heads == 0) return;
  workspace.threads().run([&](int worker) {
    const Range share = split(n_heads, 1, worker, workspace.n_threads());
    Index first = 0;  // of the call, in the list
    for (const Call& call : calls) {
      const Index begin = std::max(share.begin - first, Index{0}), end = std::min(share.end - first, call.n_head);
      if (begin < end) function(call, begin, end, worker);
      first += call.n_head;
    }
  });
}

RWKV_NAMESPACE_END
