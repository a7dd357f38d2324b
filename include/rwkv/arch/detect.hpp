// SPDX-License-Identifier: MIT
// From the names and shapes of a checkpoint to the generation and every size of the model.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "rwkv/arch/config.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// A tensor name inside a layer: "blocks.12.att.key.weight" -> 12, "att.key.weight".
struct LayerName {
  Index layer;
  std::string_view rest;
};

/// No model has nearly as many; keeps what is computed from numbers in hostile files small.
inline constexpr Index max_layer = Index{1} << 40;

/// Nothing if the name does not begin with "blocks.<number>.".
[[nodiscard]] inline std::optional<LayerName> parse_layer_name(std::string_view name) noexcept {
  constexpr std::string_view prefix = "blocks.";
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  Index layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const bool is_number = error == std::errc() && end != name.data() + name.size() && *end == '.';
  if (!is_number || layer < 0 || layer > max_layer) return std::nullopt;
  return LayerName{layer, name.substr(static_cast<std::size_t>(end - name.data()) + 1)};
}

/// The first tensor that a layer has under this name, whichever layer it is; null if no layer has it. Layer 0 alone
/// would not do: some models lack parts of it.
[[nodiscard]] inline const Checkpoint::Entry* find_in_layers(const Checkpoint& checkpoint, std::string_view rest) {
  const auto entry = std::ranges::find_if(checkpoint.entries(), [rest](const Checkpoint::Entry& each) {
    const auto parsed = parse_layer_name(each.name);
    return parsed && parsed->rest == rest;
  });
  return entry == checkpoint.entries().end() ? nullptr : &*entry;
}

[[nodiscard]] inline Generation detect_generation(const Checkpoint& checkpoint) {
  const auto in_layers = [&](std::string_view rest) { return find_in_layers(checkpoint, rest); };
  if (checkpoint.contains("tok_emb.weight")) return Generation::v1;
  if (in_layers("att.r_k") != nullptr) return Generation::v7;
  if (in_layers("att.time_maa_x") != nullptr) return Generation::v6;
  const Checkpoint::Entry* const decay = in_layers("att.time_decay");
  if (in_layers("att.ln_x.weight") != nullptr && decay != nullptr) {
    if (in_layers("att.gate.weight") == nullptr) return Generation::v5_0;
    const Shape& shape = decay->tensor.shape;
    return shape.rank() == 0 || shape[0] == decay->tensor.n_elements() ? Generation::v5_1 : Generation::v5_2;
  }
  if (in_layers("att.time_mix_k") != nullptr && decay != nullptr) {
    const Shape& shape = decay->tensor.shape;  // [C, 1] in RWKV-3, [A] from RWKV-4 on
    return shape.rank() == 2 && shape[1] == 1 ? Generation::v3 : Generation::v4;
  }
  if (in_layers("att.time_mix") != nullptr) return Generation::v2;
  throw ModelError({.path = checkpoint.path(),
                    .problem = "is not an RWKV model",
                    .expected = "tensors with the names of one, such as 'blocks.0.att.time_mix_k'",
                    .found = checkpoint.entries().empty()
                                 ? "none"
                                 : std::to_string(checkpoint.entries().size()) + " tensors, the first of them " +
                                       in_quotes(checkpoint.entries().front().name)});
}

/// Rows of a matrix that every layer has, or at least the layers that are not special.
[[nodiscard]] inline Index rows_in_layers(const Checkpoint& checkpoint, std::string_view rest) {
  const Checkpoint::Entry* const entry = find_in_layers(checkpoint, rest);
  const std::string name = entry == nullptr ? "blocks.0." + std::string(rest) : entry->name;
  const Shape& shape = checkpoint.at(name).shape;
  if (shape.rank() == 2) return shape[0];
  throw ModelError({.path = checkpoint.path(),
                    .item = tensor_item(name),
                    .expected = "a matrix",
                    .found = "shape " + to_string(shape)});
}

/// One more than the largest layer number. Throws ModelError if a number between is missing or is not a number.
[[nodiscard]] inline Index count_layers(const Checkpoint& checkpoint) {
  Index n_layer = 0;
  for (const Checkpoint::Entry& entry : checkpoint.entries()) {
    const auto parsed = parse_layer_name(entry.name);
    if (parsed) {
      n_layer = std::max(n_layer, parsed->layer + 1);
    } else if (entry.name.starts_with("blocks.")) {
      throw ModelError(
          {.path = checkpoint.path(), .item = tensor_item(entry.name), .expected = "a layer number after 'blocks.'"});
    }
  }
  // Every layer has tensors, so more layers than tensors means that some are missing: said before looping over them.
  const auto n_entries = static_cast<Index>(checkpoint.entries().size());
  for (Index layer = 0; layer < std::min(n_layer, n_entries + 1); ++layer) {
    const std::string name = "blocks." + std::to_string(layer) + ".ln1.weight";
    if (!checkpoint.contains(name)) {
      throw ModelError({.path = checkpoint.path(),
                        .item = tensor_item(name),
                        .problem = "is missing, but there are tensors of layer " + std::to_string(n_layer - 1)});
    }
  }
  return n_layer;
}

}  // namespace detail

/// Throws ModelError if the checkpoint is not an RWKV model or is broken in its outlines, UnsupportedError if it is one
/// of a generation that this version does not run.
[[nodiscard]] inline Config detect(const Checkpoint& checkpoint) {
  Config config;
  config.generation = detail::detect_generation(checkpoint);
  if (config.generation != Generation::v4) {
    throw UnsupportedError({.path = checkpoint.path(),
                            .problem = "this is an RWKV-" + std::string(name(config.generation)) + " model",
                            .hint = "This version runs RWKV-4 only."});
  }
  const TensorView& embedding = checkpoint.at("emb.weight");
  if (embedding.shape.rank() != 2 || embedding.n_elements() == 0) {
    throw ModelError({.path = checkpoint.path(),
                      .item = tensor_item("emb.weight"),
                      .expected = "a matrix, n_vocab x n_embd",
                      .found = "shape " + to_string(embedding.shape)});
  }
  config.n_vocab = embedding.shape[0];
  config.n_embd = embedding.shape[1];
  config.n_layer = detail::count_layers(checkpoint);
  config.n_att = detail::rows_in_layers(checkpoint, "att.key.weight");
  config.n_ffn = detail::rows_in_layers(checkpoint, "ffn.key.weight");
  config.has_ffn_pre = checkpoint.contains("blocks.0.ffnPre.key.weight");
  return config;
}

RWKV_NAMESPACE_END
