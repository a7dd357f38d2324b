// SPDX-License-Identifier: MIT
// Running the kernels of an operator on the heads of several calls: sharing them out between threads, and the choice
// between the forms of the operator.
#pragma once

#include <algorithm>
#include <span>

#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// Calls function(call, head, worker) for all heads of all calls, in one parallel region. The worker is a number below
/// workspace.n_threads().
template <class Call, class Function>
void for_heads(std::span<const Call> calls, Workspace& workspace, Function&& function) {
  Index n_heads = 0, n_tokens = 1;
  for (const Call& call : calls) {
    n_heads += call.n_head;
    n_tokens = std::max(n_tokens, call.n_tokens);
  }
  const Index grain = std::max<Index>(1, 4 / n_tokens);  // some microseconds
  workspace.threads().run_split(n_heads, grain, [&](Range range, int worker) {
    Index first = 0;  // of the call's heads
    for (const Call& call : calls) {
      const Index begin = std::max(range.begin - first, Index{0}), end = std::min(range.end - first, call.n_head);
      for (Index head = begin; head < end; ++head) function(call, head, worker);
      first += call.n_head;
    }
  });
}

/// The two kernels of an operator, as in KernelTable, and the values of scratch that the chunked one needs.
template <class Scalar, class Call>
struct HeadKernels {
  void (*sequence)(const Call& call, Index begin, Index end) noexcept;
  void (*chunked)(const Call& call, Index chunk_length, Index begin, Index end, Scalar* scratch) noexcept;
  Index (*n_scratch)(Index head_size, Index chunk_length) noexcept;
};

/// Runs the calls of which by_chunks(call) is true by chunks, the others token by token; all in one parallel region.
template <class Scalar, class Call, class Choice>
void run_heads(std::span<const Call> calls, const HeadKernels<Scalar, Call>& kernels, Index chunk_length,
               Choice&& by_chunks, Workspace& workspace) {
  Index n_scratch = 0;  // of a thread
  for (const Call& call : calls) {
    if (!by_chunks(call)) continue;
    n_scratch = std::max(n_scratch, kernels.n_scratch(call.head_size, std::min(chunk_length, call.n_tokens)));
  }
  Workspace::Frame frame(workspace);
  const auto scratch = frame.template matrix<Scalar>(workspace.n_threads(), n_scratch);
  for_heads(calls, workspace, [&](const Call& call, Index head, int worker) {
    if (!by_chunks(call)) return kernels.sequence(call, head, head + 1);
    kernels.chunked(call, chunk_length, head, head + 1, scratch.row(worker));
  });
}

RWKV_NAMESPACE_END
