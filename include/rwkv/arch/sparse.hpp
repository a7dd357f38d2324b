// SPDX-License-Identifier: MIT
// Channel mixing that skips what squared ReLU set to zero.
#pragma once

#include "rwkv/core/linkage.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

/// The same model with the matrices that squared ReLU feeds, W_value [n_embd, n_ffn] of channel mixing, stored by
/// input: [n_ffn, n_embd]. A token then reads the rows of those hidden units alone that are not zero, and so does a
/// small batch of those that are not zero in all its sequences; long prompts read all. Results differ by rounding only,
/// and States fit both.
///
/// These matrices are copied, a quarter to a third of the model. Those in blocks stay as they are: other blocks would
/// be other numbers. A model whose n_ffn is n_embd is not changed.
///
/// It pays where most units are zero, as in trained models (`rwkv bench` prints the share of zeros).
/// Throws ModelError as Model does.
[[nodiscard]] RWKV_API Checkpoint sparse_channel_mix(const Checkpoint& checkpoint);

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <string>
#include <string_view>
#include <unordered_map>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/fingerprint.hpp"
#include "rwkv/arch/network.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API Checkpoint sparse_channel_mix(const Checkpoint& checkpoint) {
  StateLayout layout;
  Construction construction{&checkpoint, detect(checkpoint), layout};
  static_cast<void>(make_network<float>(Builder(construction)));
  std::unordered_map<std::string_view, Shape> sparse;
  for (const TensorSpec& spec : construction.asked) {
    if (spec.role == TensorRole::sparse && spec.shape[0] != spec.shape[1]) sparse.emplace(spec.name, spec.shape);
  }
  Checkpoint result = checkpoint.transformed([&](Checkpoint::Entry entry) {
    const auto found = sparse.find(entry.name);
    const bool is_by_output = found != sparse.end() && entry.tensor.shape == found->second;
    if (is_by_output && info(entry.tensor.dtype).block_elements == 1) entry.tensor = transposed(entry.tensor);
    return entry;
  });
  result.metadata()[std::string(fingerprint_key)] = model_fingerprint(checkpoint, construction);
  return result;
}

RWKV_NAMESPACE_END
#endif
