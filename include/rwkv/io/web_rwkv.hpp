// SPDX-License-Identifier: MIT
// The spelling of web-rwkv (`.st` files for it and for ai00) in safetensors files, and files with transposed low-rank
// matrices from elsewhere: given the names and the orientation of the official files. A State trained for the model
// (`time_state`) is transposed like the matrices beside it; alone in a file, nothing tells which way round it is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "rwkv/core/tensor.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/time_mixing_names.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Whether the file is an RWKV-6 in the names of web-rwkv: the official `time_maa_*` are `time_mix_*` there.
[[nodiscard]] inline bool is_web_rwkv_v6(const Checkpoint& checkpoint) {
  const auto& entries = checkpoint.entries();
  return std::any_of(entries.begin(), entries.end(), [](const Checkpoint::Entry& entry) {
    const std::string_view part = time_mixing_part(entry.name);
    return part == "time_mix_x" || part == "time_mix_w1";
  });
}

/// Whether this tensor is the linear bonus `time_faaaa` of RWKV-5.1 to 6 under the name that web-rwkv gives it. The
/// official `time_first` is a logarithm, and only models without a gate have it: RWKV-4 and 5.0.
[[nodiscard]] inline bool is_web_rwkv_bonus(const Checkpoint& checkpoint, const Checkpoint::Entry& entry) {
  constexpr std::string_view part = "time_first";
  if (time_mixing_part(entry.name) != part) return false;
  const std::string gate = entry.name.substr(0, entry.name.size() - part.size()) + "gate.weight";
  const Shape& shape = entry.tensor.shape;
  return shape.rank() >= 2 && shape[1] > 1 && checkpoint.contains(gate);
}

/// Whether the low-rank matrices are transposed: those that begin with n_embd in official files end with it.
[[nodiscard]] inline bool has_transposed_low_rank(const Checkpoint& checkpoint) {
  const TensorView* const embedding = checkpoint.find("emb.weight");
  if (embedding == nullptr || embedding->shape.rank() != 2) return false;
  const Index n_embd = embedding->shape[1];
  const auto& entries = checkpoint.entries();
  return std::any_of(entries.begin(), entries.end(), [n_embd](const Checkpoint::Entry& entry) {
    const Shape& shape = entry.tensor.shape;
    return is_low_rank_down(entry.name) && shape.rank() == 2 && shape[0] != n_embd && shape[1] == n_embd;
  });
}

/// The checkpoint in official names and orientation; the same where it has them already.
/// Throws FormatError if a tensor should be a matrix and is none, or two get the same name.
[[nodiscard]] inline Checkpoint from_web_rwkv(const Checkpoint& stored) {
  const bool is_v6 = is_web_rwkv_v6(stored);
  bool is_web = is_v6;
  Checkpoint renamed = stored.transformed([&stored, &is_web, is_v6](Checkpoint::Entry entry) {
    const auto replace = [&entry](std::string_view from, std::string_view to) {
      const std::size_t position = entry.name.find(from);
      if (position != std::string::npos) entry.name.replace(position, from.size(), to);
    };
    if (is_web_rwkv_bonus(stored, entry)) {
      replace(".time_first", ".time_faaaa");
      is_web = true;
    }
    if (is_v6) replace(".time_mix_", ".time_maa_");
    return entry;
  });
  if (!is_web && !has_transposed_low_rank(renamed)) return renamed;
  return renamed.transformed([&stored](Checkpoint::Entry entry) {
    const bool is_turned = is_low_rank(entry.name) || time_mixing_part(entry.name) == "time_state";
    if (is_turned) entry.tensor = untransposed(stored.path(), entry.name, entry.tensor);
    return entry;
  });
}

}  // namespace detail

RWKV_NAMESPACE_END
