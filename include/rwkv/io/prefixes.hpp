// SPDX-License-Identifier: MIT
// Prefixes that training frameworks put before the names of all tensors.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The prefix that wrappers of PyTorch put before all names of a model, or "".
[[nodiscard]] inline std::string_view common_prefix(const Checkpoint& checkpoint) {
  constexpr std::string_view prefixes[] = {"_forward_module.", "module.", "model.", "_orig_mod.", "base_model.model."};
  const auto& entries = checkpoint.entries();
  const auto starts_official = [](const Checkpoint::Entry& entry) {
    const std::string_view name = entry.name;
    return name.starts_with("blocks.") || name == "emb.weight" || name == "tok_emb.weight";
  };
  if (std::any_of(entries.begin(), entries.end(), starts_official)) return "";
  for (const std::string_view prefix : prefixes) {
    // Only these names decide: others, such as buffers, may have it or not. `model.layers.` is a name of fla.
    const auto decides = [prefix](const std::string& name) {
      const auto has = [&name](std::string_view part) { return name.find(part) != std::string::npos; };
      return has("blocks.") || has("emb.") || (prefix != "model." && has("layers."));
    };
    bool is_common = false;
    for (const auto& [name, tensor] : entries) {
      if (!decides(name)) continue;
      is_common = name.starts_with(prefix);
      if (!is_common) break;
    }
    if (is_common) return prefix;
  }
  return "";
}

/// The checkpoint with the names of the model itself: without "module.", "_orig_mod." and the like.
[[nodiscard]] inline Checkpoint strip_prefixes(Checkpoint checkpoint) {
  for (std::string_view prefix = common_prefix(checkpoint); !prefix.empty(); prefix = common_prefix(checkpoint)) {
    checkpoint = checkpoint.transformed([prefix](Checkpoint::Entry entry) {
      if (entry.name.starts_with(prefix)) entry.name.erase(0, prefix.size());
      return entry;
    });
  }
  return checkpoint;
}

}  // namespace detail

RWKV_NAMESPACE_END
