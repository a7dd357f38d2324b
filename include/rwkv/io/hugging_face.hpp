// SPDX-License-Identifier: MIT
// RWKV models in the names of Hugging Face libraries, under the official names: RWKV-4 of transformers and the ports of
// RWKV-5 and 6 in its style, RWKV-6 and 7 of flash-linear-attention (fla).
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/hugging_face_config.hpp"
#include "rwkv/io/renaming.hpp"
#include "rwkv/io/time_mixing_names.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

// The lists hold all families at once: none gives a name to something else than another does. Where they come from:
// convert_rwkv_checkpoint_to_hf.py (huggingface/transformers), utils/convert_from_rwkv6.py and convert_from_rwkv7.py
// (fla-org/flash-linear-attention), the variants that convert_hf_to_gguf.py (ggml-org/llama.cpp) knows.

inline constexpr Renaming hugging_face_names[] = {
    // of the whole model
    {"embeddings.weight", "emb.weight"},
    {"embed_tokens.weight", "emb.weight"},
    {"norm.*", "ln_out.*"},
    {"lm_head.weight", "head.weight"},
};
inline constexpr Renaming hugging_face_layer_names[] = {
    // of a layer
    {"pre_ln.*", "ln0.*"},        {"pre_norm.*", "ln0.*"},          {"attn_norm.*", "ln1.*"},
    {"ffn_norm.*", "ln2.*"},      {"attention.*", "att.*"},         {"attn.*", "att.*"},
    {"self_attn.*", "att.*"},     {"time_mixer.*", "att.*"},        {"feed_forward.*", "ffn.*"},
    {"channel_mixer.*", "ffn.*"}, {"feed_forward_norm.*", "ln2.*"},
};
inline constexpr Renaming hugging_face_time_mixing_names[] = {
    // transformers
    {"time_mix_key", "time_mix_k"},
    {"time_mix_value", "time_mix_v"},
    {"time_mix_receptance", "time_mix_r"},
    {"time_mix_gate", "time_mix_g"},
    // fla, RWKV-6
    {"r_proj.linear.*", "receptance.*"},
    {"k_proj.linear.*", "key.*"},
    {"v_proj.linear.*", "value.*"},
    {"g_proj.linear.*", "gate.*"},
    {"w_proj.linear.lora.0.weight", "time_decay_w1"},
    {"w_proj.linear.lora.2.weight", "time_decay_w2"},
    {"w_proj.linear.lora.2.bias", "time_decay"},
    {"x_proj.0.mu", "time_maa_x"},
    {"x_proj.0.linear.weight", "time_maa_w1"},
    {"x_proj.2.weight", "time_maa_w2"},
    {"bonus", "time_faaaa"},
    // fla, RWKV-7
    {"r_proj.*", "receptance.*"},
    {"k_proj.*", "key.*"},
    {"v_proj.*", "value.*"},
    {"w_lora.lora.0.weight", "w1"},
    {"w_lora.lora.2.weight", "w2"},
    {"w_lora.lora.2.bias", "w0"},
    {"a_lora.lora.0.weight", "a1"},
    {"a_lora.lora.2.weight", "a2"},
    {"a_lora.lora.2.bias", "a0"},
    {"v_lora.lora.0.weight", "v1"},
    {"v_lora.lora.2.weight", "v2"},
    {"v_lora.lora.2.bias", "v0"},
    {"g_lora.lora.0.weight", "g1"},
    {"g_lora.lora.2.weight", "g2"},
    // both
    {"o_proj.*", "output.*"},
    {"g_norm.*", "ln_x.*"},
};
inline constexpr Renaming hugging_face_channel_mixing_names[] = {
    // transformers
    {"time_mix_key", "time_mix_k"},
    {"time_mix_receptance", "time_mix_r"},
    // fla, RWKV-6
    {"key.linear.*", "key.*"},
    {"key.mu", "time_maa_k"},
    {"receptance.linear.*", "receptance.*"},
    {"receptance.mu", "time_maa_r"},
};

/// The same name, or the one that stands for it in the list.
[[nodiscard]] inline std::string renamed(std::span<const Renaming> names, std::string_view name) {
  std::string official = official_name(names, name);
  return official.empty() ? std::string(name) : official;
}

/// The official name of a tensor that has a Hugging Face name. What is not known inside a layer stays there, so that
/// the model refuses it.
[[nodiscard]] inline std::string hugging_face_official(std::string_view name) {
  for (const std::string_view prefix : {"model.", "rwkv."}) {
    if (!name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    break;
  }
  const bool is_in_layers = name.starts_with("layers.") || name.starts_with("blocks.");
  const std::size_t dot = is_in_layers ? name.find('.', 7) : std::string_view::npos;
  if (dot == std::string_view::npos) return renamed(hugging_face_names, name);
  const std::string layer = "blocks." + std::string(name.substr(7, dot - 6));
  const std::string rest = renamed(hugging_face_layer_names, name.substr(dot + 1));
  const std::string_view part = std::string_view(rest).substr(std::min<std::size_t>(rest.size(), 4));
  if (rest.starts_with("att.")) return layer + "att." + renamed(hugging_face_time_mixing_names, part);
  if (rest.starts_with("ffn.")) return layer + "ffn." + renamed(hugging_face_channel_mixing_names, part);
  return layer + rest;
}

/// Whether the names are of this kind: a tensor that every time mixing of RWKV-4 to 7 has is called otherwise than
/// officially.
[[nodiscard]] inline bool is_hugging_face(const Checkpoint& checkpoint) {
  const auto& entries = checkpoint.entries();
  return std::any_of(entries.begin(), entries.end(), [](const Checkpoint::Entry& entry) {
    const std::string official = hugging_face_official(entry.name);
    const std::string_view part = time_mixing_part(official);
    return (part == "time_decay" || part == "r_k") && official != entry.name;
  });
}

/// Gives the tensors of such a checkpoint their official names and shapes.
class HuggingFaceOfficial {
public:
  HuggingFaceOfficial(const Checkpoint& stored, const HuggingFaceConfig& config) : stored_(stored), config_(config) {}

  /// Tensors stay in the file unless their numbers move: those of the low-rank parts of fla.
  /// Throws FormatError if the libraries cannot have made one of them, UnsupportedError for hybrids with transformers.
  [[nodiscard]] Checkpoint read() const {
    Checkpoint official(stored_.path());
    official.metadata() = stored_.metadata();
    for (const auto& [name, tensor] : stored_.entries()) add(official, name, tensor);
    const TensorView* const embedding = official.find("emb.weight");
    const bool has_head = official.contains("head.weight");
    if (config_.ties_embeddings && !has_head && embedding != nullptr) official.add("head.weight", *embedding);
    add_group_norm_eps(official);
    return official;
  }

private:
  void add(Checkpoint& official, const std::string& name, const TensorView& tensor) const {
    // ARWKV, RWKV-6-Qwen: RMS norms and a gated MLP around the time mixing
    if (name.find(".input_layernorm.") != std::string::npos || name.find(".mlp.gate_proj.") != std::string::npos) {
      throw UnsupportedError({.path = stored_.path(),
                              .item = tensor_item(name),
                              .problem = "the model is a hybrid: the time mixing of RWKV in the body of another"});
    }
    const std::string full = hugging_face_official(name);
    const std::string_view part = time_mixing_part(full);
    const std::string block = full.substr(0, full.size() - part.size());
    if (part == "x_x") return add_mixes(official, name, tensor, block + "x_", "rwkvag");
    if (part == "x_bias") return add_mixes(official, name, tensor, block + "time_maa_", "rwkvg");
    official.add(full, restored(name, full, tensor));
  }

  [[nodiscard]] TensorView restored(std::string_view name, std::string_view official, const TensorView& tensor) const {
    if (name.ends_with(".x_proj.0.linear.weight")) return transposed(reordered(name, tensor));
    if (name.ends_with(".x_proj.2.weight")) {
      const TensorView rows = reordered(name, untransposed(stored_.path(), name, tensor));
      return {rows.dtype, {n_mixes, rows.shape[0] / n_mixes, rows.shape[1]}, rows.data, rows.owner};
    }
    const bool is_turned = is_low_rank(official) && name.find(".lora.") != std::string_view::npos;
    return is_turned ? untransposed(stored_.path(), name, tensor) : tensor;
  }

  static constexpr Index n_mixes = 5;

  /// Rows that belong to r, w, k, v, g, a fifth to each, in the official order: w, k, v, r, g.
  [[nodiscard]] TensorView reordered(std::string_view name, const TensorView& tensor) const {
    if (tensor.shape.rank() != 2 || tensor.shape[0] % n_mixes != 0) {
      throw FormatError({.path = stored_.path(),
                         .item = tensor_item(name),
                         .expected = "a matrix of five parts",
                         .found = "shape " + to_string(tensor.shape)});
    }
    const auto n_bytes = static_cast<std::size_t>(tensor.n_bytes());
    const auto copy = std::make_shared<Buffer<std::byte>>(std::span(tensor.data, n_bytes));
    std::byte* const first = copy->data();
    const Index part = tensor.n_bytes() / n_mixes;
    std::rotate(first, first + part, first + 4 * part);
    return {tensor.dtype, tensor.shape, first, copy};
  }

  /// fla normalises the heads of RWKV-7 with an epsilon that grows with them, head_dim * norm_eps, where the original
  /// has 64e-5 for all.
  void add_group_norm_eps(Checkpoint& official) const {
    for (const auto& [name, tensor] : stored_.entries()) {
      constexpr Index usual_size = 64;
      const bool is_fla = name.ends_with(".attn.r_k") && tensor.shape.rank() == 2;
      if (!is_fla || tensor.shape[1] == usual_size) continue;
      official.metadata()[std::string(group_norm_eps_key)] = to_text(static_cast<double>(tensor.shape[1]) * 1e-5);
      return;
    }
  }

  const Checkpoint& stored_;
  const HuggingFaceConfig& config_;
};

}  // namespace detail

RWKV_NAMESPACE_END
