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
  const auto has = [&](std::string_view rest) { return find_in_layers(checkpoint, rest) != nullptr; };
  const auto refuse = [&](const char* what) {
    throw UnsupportedError({.path = checkpoint.path(), .problem = std::string("the model is ") + what});
  };
  if (checkpoint.contains("tok_emb.weight")) {
    if (has("attn.query.weight")) refuse("one of the attention models of the first RWKV repository, not an RWKV");
    return Generation::v1;
  }
  if (has("rosa.q.weight")) refuse("a demo of RWKV-8 with ROSA");
  if (has("att.r_k") && has("att.x_r")) {
    if (has("qkv.qq.weight")) return Generation::v7b;
    if (has("ffn.s_emb.weight")) return Generation::v7a;
    return has("ffn.enn.weight") ? Generation::v8_rc00 : Generation::v7;
  }
  if (has("att.time_maa_x")) {
    if (has("att.time_maa_rkvw_w1")) return Generation::v6b;
    return has("att.gate_w1") ? Generation::v6a : Generation::v6;
  }
  const Checkpoint::Entry* const decay = find_in_layers(checkpoint, "att.time_decay");
  if (has("att.ln_x.weight") && decay != nullptr) {
    if (!has("att.gate.weight")) return Generation::v5_0;
    const Shape& shape = decay->tensor.shape;
    return shape.rank() == 0 || shape[0] == decay->tensor.n_elements() ? Generation::v5_1 : Generation::v5_2;
  }
  if (has("att.time_mix_k") && decay != nullptr) {
    const Shape& shape = decay->tensor.shape;  // [C, 1] in RWKV-3, [A] from RWKV-4 on
    return shape.rank() == 2 && shape[1] == 1 ? Generation::v3 : Generation::v4;
  }
  // Models all of whose time mixings are missing: those of one layer that begin with ffnPre
  if (has("att.time_mix")) return Generation::v2;
  throw ModelError({.path = checkpoint.path(),
                    .problem = "is not an RWKV model",
                    .expected = "tensors with the names of one, such as 'blocks.0.att.time_mix_k'",
                    .found = summary(checkpoint)});
}

/// The tensor of a layer whose rows are the channels of its time mixing.
[[nodiscard]] inline std::string_view key_name(Generation generation) noexcept {
  return generation == Generation::v1 ? "attn.key.weight" : "att.key.weight";
}

/// Reads sizes off the shapes of tensors. What is missing or has too few axes is a ModelError that names it.
class ShapeReader {
public:
  explicit ShapeReader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  /// The length of one axis of a tensor of `rank` axes.
  [[nodiscard]] Index axis(const std::string& name, Index rank, Index axis) const {
    const Shape& shape = checkpoint_.at(name).shape;
    if (shape.rank() == rank && checkpoint_.at(name).n_elements() > 0) return shape[axis];
    throw ModelError({.path = checkpoint_.path(),
                      .item = tensor_item(name),
                      .expected = std::to_string(rank) + (rank == 1 ? " axis" : " axes") + ", none of length 0",
                      .found = "shape " + to_string(shape)});
  }

  /// Its name in the first layer that has it, or in layer 0.
  [[nodiscard]] std::string in_layers(std::string_view rest) const {
    const Checkpoint::Entry* const entry = find_in_layers(checkpoint_, rest);
    return entry == nullptr ? "blocks.0." + std::string(rest) : entry->name;
  }
  [[nodiscard]] Index rows_in_layers(std::string_view rest) const { return axis(in_layers(rest), 2, 0); }
  [[nodiscard]] Index cols_in_layers(std::string_view rest) const { return axis(in_layers(rest), 2, 1); }
  /// The same, or 0 if no layer has it.
  [[nodiscard]] Index optional_cols(std::string_view rest) const {
    return find_in_layers(checkpoint_, rest) == nullptr ? 0 : cols_in_layers(rest);
  }

  /// Sets n_head and head_size from the tensor that has a row, or a number, for each head.
  void read_heads(std::string_view rest, Config& config) const {
    const std::string name = in_layers(rest);
    const TensorView& tensor = checkpoint_.at(name);
    // Converted files of RWKV-7 may hold r_k as one row: its heads are then of the usual size.
    constexpr Index usual_head_size = 64;
    const bool is_flat = config.generation >= Generation::v7 && tensor.shape.rank() != 2;
    config.n_head = is_flat ? config.n_att / usual_head_size : tensor.shape.rank() == 0 ? 0 : tensor.shape[0];
    config.head_size = is_flat ? usual_head_size : config.n_head > 0 ? config.n_att / config.n_head : 0;
    // Larger ones would make a State far larger than the model; one channel is what a flattened tensor looks like.
    constexpr Index max_head_size = 1024;
    const bool is_size = config.head_size > 1 && config.head_size <= max_head_size;
    if (is_size && config.n_head * config.head_size == config.n_att) return;
    throw ModelError({.path = checkpoint_.path(),
                      .item = tensor_item(name),
                      .expected = "heads of equal size, 2 to 1024 channels, that make up " +
                                  std::to_string(config.n_att) + " channels, the rows of " +
                                  in_quotes(in_layers(key_name(config.generation))),
                      .found = "shape " + to_string(tensor.shape)});
  }

private:
  const Checkpoint& checkpoint_;
};

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

/// The copy head of RWKV-1 to 4, and how far back it looks.
inline void read_copy_head(const ShapeReader& shapes, const Checkpoint& checkpoint, Config& config) {
  if (!checkpoint.contains("head_q.weight")) return;
  config.n_copy = shapes.axis("head_q.weight", 2, 0);
  if (config.generation == Generation::v1) return;
  config.n_ctx = shapes.axis("copy_mask", 2, 0);
  if (shapes.axis("copy_mask", 2, 1) == config.n_ctx) return;
  throw ModelError({.path = checkpoint.path(),
                    .item = tensor_item("copy_mask"),
                    .expected = "a square matrix, n_ctx x n_ctx",
                    .found = to_string(checkpoint.at("copy_mask").shape)});
}

/// The sizes of RWKV-5 to 7.
inline void read_heads_and_widths(const ShapeReader& shapes, const Checkpoint& checkpoint, Config& config) {
  LowRank& low_rank = config.low_rank;
  if (config.generation <= Generation::v5_2) {
    shapes.read_heads("att.time_decay", config);
    config.has_time_first = find_in_layers(checkpoint, "att.time_first") != nullptr;
  } else if (config.generation <= Generation::v6c) {
    shapes.read_heads("att.time_faaaa", config);
    const bool is_b = config.generation == Generation::v6b;
    low_rank.mix = shapes.axis(shapes.in_layers(is_b ? "att.time_maa_rkvw_w2" : "att.time_maa_w2"), 3, 1);
    low_rank.decay = shapes.cols_in_layers("att.time_decay_w1");
    low_rank.gate = shapes.optional_cols("att.gate_w1");
  } else {
    shapes.read_heads("att.r_k", config);
    low_rank.decay = shapes.cols_in_layers("att.w1");
    low_rank.rate = shapes.cols_in_layers("att.a1");
    // Layer 0 has no use for v1; what it holds may have any width.
    if (config.n_layer > 1) low_rank.value = shapes.axis("blocks.1.att.v1", 2, 1);
    low_rank.gate = shapes.optional_cols("att.g1");
    const bool is_b = config.generation == Generation::v7b;
    if (is_b || config.generation == Generation::v7a) low_rank.embed = shapes.cols_in_layers("ffn.s1");
    if (is_b) low_rank.query = shapes.rows_in_layers("qkv.qq.weight");
    if (is_b) low_rank.kept = shapes.cols_in_layers("qkv.k1");
  }
}

/// The epsilon that the metadata tells, see group_norm_eps_key. Throws ModelError unless it is from 0 to below 1.
inline void read_group_norm_eps(const Checkpoint& checkpoint, Config& config) {
  const auto found = checkpoint.metadata().find(std::string(group_norm_eps_key));
  if (found == checkpoint.metadata().end()) return;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), config.group_norm_eps);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (is_number && config.group_norm_eps >= 0 && config.group_norm_eps < 1) return;
  throw ModelError({.path = checkpoint.path(),
                    .item = "metadata " + in_quotes(group_norm_eps_key),
                    .expected = "a number from 0 to below 1",
                    .found = in_quotes(text)});
}

}  // namespace detail

/// Every size is read off names and shapes, whatever the order of the tensors. See Config for what they do not tell.
///
/// Throws ModelError if the checkpoint is not an RWKV model or is broken in its outlines, UnsupportedError if it is one
/// of a kind that this version does not run.
[[nodiscard]] inline Config detect(const Checkpoint& checkpoint) {
  Config config;
  config.generation = detail::detect_generation(checkpoint);
  const detail::ShapeReader shapes(checkpoint);
  const bool is_v1 = config.generation == Generation::v1;
  const std::string embedding = is_v1 ? "tok_emb.weight" : "emb.weight";
  config.n_vocab = shapes.axis(embedding, 2, 0);
  config.n_embd = shapes.axis(embedding, 2, 1);
  config.n_layer = detail::count_layers(checkpoint);
  config.n_att = shapes.rows_in_layers(detail::key_name(config.generation));
  config.n_ffn = shapes.rows_in_layers(is_v1 ? "mlp.key.weight" : "ffn.key.weight");
  config.has_ffn_pre = may_have_ffn_pre(config.generation) && checkpoint.contains("blocks.0.ffnPre.key.weight");
  if (is_v1) {
    config.n_ctx = shapes.cols_in_layers("attn.time_w");
    config.has_time_out = checkpoint.contains("time_out");
    shapes.read_heads("attn.time_w", config);
  }
  if (config.generation <= Generation::v4) {
    detail::read_copy_head(shapes, checkpoint, config);
  } else {
    detail::read_heads_and_widths(shapes, checkpoint, config);
    detail::read_group_norm_eps(checkpoint, config);
  }
  if (config.generation == Generation::v7b) config.n_ctx = 4096;  // not in the file: a choice
  return config;
}

RWKV_NAMESPACE_END
