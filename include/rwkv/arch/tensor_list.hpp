// SPDX-License-Identifier: MIT
// The list of the tensors that a model is made of.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/config.hpp"
#include "rwkv/arch/network.hpp"

RWKV_NAMESPACE_BEGIN

/// Every tensor of a model of this kind, with its official name and shape.
[[nodiscard]] inline std::vector<TensorSpec> tensor_list(const Config& config) {
  StateLayout layout;
  Construction construction{nullptr, config, layout};
  static_cast<void>(make_network<float>(Builder(construction)));
  return construction.asked;
}

/// Refuses a checkpoint that holds more than the network knows of: ignoring part of a model gives wrong results.
///
/// Unknown tensors inside the layers are an error, except buffers that carry no weights; and so are the copy head
/// (`head_q`, `head_k`) where the network did not ask for it. Others outside the layers are left alone: training
/// programs store counters and the like. Throws UnsupportedError that names the tensors.
inline void refuse_unknown_tensors(const Checkpoint& checkpoint, const Construction& construction) {
  constexpr std::array<std::string_view, 3> buffers{".mask", "tiny_mask", "time_curve"};
  std::unordered_set<std::string_view> names;
  for (const TensorSpec& spec : construction.asked) names.insert(spec.name);
  names.insert(construction.ignored.begin(), construction.ignored.end());
  std::string unknown;
  for (const Checkpoint::Entry& entry : checkpoint.entries()) {
    const std::string_view name = entry.name;
    const bool matters = name.starts_with("blocks.") || name == "head_q.weight" || name == "head_k.weight";
    const bool is_buffer = std::ranges::any_of(buffers, [name](std::string_view end) { return name.ends_with(end); });
    if (matters && !is_buffer && !names.contains(name)) unknown += (unknown.empty() ? "" : ", ") + in_quotes(name);
  }
  if (unknown.empty()) return;
  constexpr std::size_t max_shown = 300;
  if (unknown.size() > max_shown) unknown = unknown.substr(0, max_shown) + "...";
  throw UnsupportedError({.path = checkpoint.path(),
                          .problem = "the model has tensors that this version does not know: " + unknown,
                          .hint = "It is a variant of RWKV that is not supported, or a file of another kind."});
}

RWKV_NAMESPACE_END
