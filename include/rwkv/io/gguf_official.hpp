// SPDX-License-Identifier: MIT
// RWKV-6 and 7 in GGUF files, as convert_hf_to_gguf.py of llama.cpp makes them, under the official names.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "rwkv/core/blocks.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/gguf.hpp"
#include "rwkv/io/gguf_vocabulary.hpp"
#include "rwkv/io/renaming.hpp"
#include "rwkv/io/time_mixing_names.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

inline constexpr Renaming gguf_names[] = {
    // of the whole model
    {"token_embd.weight", "emb.weight"},
    {"token_embd_norm.*", "blocks.0.ln0.*"},
    {"output_norm.*", "ln_out.*"},
    {"output.weight", "head.weight"},
};
inline constexpr Renaming gguf_layer_names[] = {
    // of a layer
    {"attn_norm.*", "ln1.*"},
    {"attn_norm_2.*", "ln2.*"},
    {"time_mix_ln.*", "att.ln_x.*"},
    {"time_mix_key.*", "att.key.*"},
    {"time_mix_value.*", "att.value.*"},
    {"time_mix_receptance.*", "att.receptance.*"},
    {"time_mix_gate.*", "att.gate.*"},
    {"time_mix_output.*", "att.output.*"},
    {"channel_mix_key.*", "ffn.key.*"},
    {"channel_mix_value.*", "ffn.value.*"},
    {"channel_mix_receptance.*", "ffn.receptance.*"},
};
inline constexpr Renaming gguf_v6_names[] = {
    {"time_mix_lerp_x.weight", "att.time_maa_x"},
    {"time_mix_lerp_w.weight", "att.time_maa_w"},  // each by itself in old files
    {"time_mix_lerp_k.weight", "att.time_maa_k"},
    {"time_mix_lerp_v.weight", "att.time_maa_v"},
    {"time_mix_lerp_r.weight", "att.time_maa_r"},
    {"time_mix_lerp_g.weight", "att.time_maa_g"},
    {"time_mix_w1.weight", "att.time_maa_w1"},
    {"time_mix_w2.weight", "att.time_maa_w2"},
    {"time_mix_first.weight", "att.time_faaaa"},
    {"time_mix_decay.weight", "att.time_decay"},
    {"time_mix_decay_w1.weight", "att.time_decay_w1"},
    {"time_mix_decay_w2.weight", "att.time_decay_w2"},
    {"channel_mix_lerp_k.weight", "ffn.time_maa_k"},
    {"channel_mix_lerp_r.weight", "ffn.time_maa_r"},
};
inline constexpr Renaming gguf_v7_names[] = {
    {"channel_mix_lerp_k.weight", "ffn.x_k"}, {"time_mix_w0.weight", "att.w0"},   {"time_mix_w1.weight", "att.w1"},
    {"time_mix_w2.weight", "att.w2"},         {"time_mix_a0.weight", "att.a0"},   {"time_mix_a1.weight", "att.a1"},
    {"time_mix_a2.weight", "att.a2"},         {"time_mix_v0.weight", "att.v0"},   {"time_mix_v1.weight", "att.v1"},
    {"time_mix_v2.weight", "att.v2"},         {"time_mix_g1.weight", "att.g1"},   {"time_mix_g2.weight", "att.g2"},
    {"time_mix_k_k.weight", "att.k_k"},       {"time_mix_k_a.weight", "att.k_a"}, {"time_mix_r_k.weight", "att.r_k"},
};

/// The numbers times 2^power, in the type of the tensor.
[[nodiscard]] inline TensorView scaled_by_power(const TensorView& tensor, int power) {
  const auto copy =
      std::make_shared<Buffer<std::byte>>(std::span(tensor.data, static_cast<std::size_t>(tensor.n_bytes())));
  const auto factor = static_cast<float>(std::uint64_t{1} << power);
  const auto scale_f16 = [factor](std::uint16_t& bits) { bits = f32_to_f16(f16_to_f32(bits) * factor); };
  const auto for_each = [&]<class Number>(Number, auto&& change) {
    for (Index i = 0; i < copy->size(); i += static_cast<Index>(sizeof(Number))) {
      Number number;
      std::memcpy(&number, copy->data() + i, sizeof(number));
      change(number);
      std::memcpy(copy->data() + i, &number, sizeof(number));
    }
  };
  switch (tensor.dtype) {
    case DType::f32: for_each(float{}, [factor](float& number) { number *= factor; }); break;
    case DType::f64: for_each(double{}, [factor](double& number) { number *= static_cast<double>(factor); }); break;
    case DType::f16: for_each(std::uint16_t{}, scale_f16); break;
    case DType::bf16:
      for_each(std::uint16_t{}, [factor](std::uint16_t& bits) { bits = f32_to_bf16(bf16_to_f32(bits) * factor); });
      break;
    default:
      with_block(tensor.dtype, [&]<class Block>(Block) {
        for_each(Block{}, [&](Block& block) {
          if constexpr (requires { block.scales.d; }) {
            scale_f16(block.scales.d);
            scale_f16(block.scales.d_min);
          } else {
            scale_f16(block.d);
            if constexpr (requires { block.m; }) scale_f16(block.m);
          }
        });
      });
  }
  return {tensor.dtype, tensor.shape, copy->data(), copy};
}

/// How metadata of ours stand in a GGUF file: keys of ours as they are, others behind a prefix.
inline constexpr std::string_view gguf_own_metadata = "rwkv.", gguf_other_metadata = "rwkv.metadata.";

[[nodiscard]] inline std::string gguf_metadata_key(std::string_view key) {
  const bool is_own = key.starts_with(gguf_own_metadata) && !key.starts_with(gguf_other_metadata);
  return std::string(is_own ? "" : gguf_other_metadata) + std::string(key);
}
[[nodiscard]] inline std::string metadata_key_of_gguf(std::string_view key) {
  return std::string(key.substr(key.starts_with(gguf_other_metadata) ? gguf_other_metadata.size() : 0));
}

/// Gives the tensors of a GGUF file their official names and shapes.
class GgufOfficial {
public:
  /// Throws UnsupportedError for other architectures than rwkv6 and rwkv7 and for one of several files, FormatError if
  /// there is no architecture.
  explicit GgufOfficial(const GgufFile& file) : file_(file) {
    if (const std::uint64_t n_files = file.number("split.count").value_or(1); n_files > 1) {
      throw UnsupportedError({.path = path(),
                              .problem = "is one of " + std::to_string(n_files) + " files of a model",
                              .hint = "Join them with `llama-gguf-split --merge`."});
    }
    const auto architecture = file.text("general.architecture");
    if (!architecture) {
      throw FormatError({.path = path(), .item = "general.architecture", .problem = "is missing"});
    }
    if (*architecture != "rwkv6" && *architecture != "rwkv7") {
      const bool is_hybrid = *architecture == "rwkv6qwen2" || *architecture == "arwkv7";
      throw UnsupportedError({.path = path(),
                              .item = "general.architecture",
                              .expected = "rwkv6 or rwkv7",
                              .found = in_quotes(*architecture),
                              .hint = is_hybrid ? "It is a hybrid: the time mixing of RWKV in the body of Qwen." : ""});
    }
    is_v7_ = *architecture == "rwkv7";
    const std::string prefix = std::string(*architecture) + ".";
    head_size_ = static_cast<Index>(file.number(prefix + "wkv.head_size").value_or(0));
    rescale_every_ = file.number(prefix + "rescale_every_n_layers").value_or(0);
  }

  [[nodiscard]] Checkpoint read() const {
    Checkpoint official(path());
    for (const auto& [name, tensor] : file_.tensors.entries()) add(official, name, tensor);
    const TensorView* const embedding = official.find("emb.weight");
    if (!official.contains("head.weight") && embedding != nullptr) official.add("head.weight", *embedding);
    for (const auto& [key, value] : file_.metadata) {
      if (!key.starts_with(gguf_own_metadata)) continue;
      const auto* const text = std::get_if<std::string_view>(&value);
      if (text != nullptr) official.metadata().emplace(metadata_key_of_gguf(key), *text);
    }
    if (std::string text = read_gguf_vocabulary(file_); !text.empty()) {
      official.metadata()[std::string(vocabulary_key)] = std::move(text);
    }
    if (const auto form = file_.text(chat_template_key)) {
      official.metadata()[std::string(chat_template_key)] = *form;
    }
    return official;
  }

private:
  [[nodiscard]] const std::string& path() const noexcept { return file_.tensors.path(); }

  void add(Checkpoint& official, const std::string& name, const TensorView& tensor) const {
    std::string global = official_name(gguf_names, name);
    if (!global.empty()) return official.add(std::move(global), tensor);
    const std::size_t dot = name.find('.', 4);
    if (!name.starts_with("blk.") || dot == std::string::npos) return official.add(name, tensor);
    const std::string_view part = std::string_view(name).substr(dot + 1);
    const std::string layer = name.substr(4, dot - 4), block = "blocks." + layer + ".";
    if (part == "time_mix_lerp_fused.weight") {  // all but that of the gate, which some models do without
      if (is_v7_) return add_mixes(official, name, tensor, block + "att.x_", "rwkvag", LastRow::optional);
      return add_mixes(official, name, tensor, block + "att.time_maa_", "wkvrg");
    }
    std::string found = official_name(gguf_layer_names, part);
    if (found.empty()) found = is_v7_ ? official_name(gguf_v7_names, part) : official_name(gguf_v6_names, part);
    const std::string full = block + (found.empty() ? std::string(part) : found);  // the model refuses what is unknown
    official.add(full, restored(full, layer, tensor));
  }

  [[nodiscard]] TensorView restored(std::string_view name, const std::string& layer, const TensorView& tensor) const {
    if (is_low_rank(name)) return untransposed(path(), name, tensor);
    const bool is_by_head = name.ends_with(".att.r_k") || name.ends_with(".att.time_faaaa");
    if (is_by_head && head_size_ > 0 && tensor.n_elements() % head_size_ == 0) {
      return {tensor.dtype, {tensor.n_elements() / head_size_, head_size_}, tensor.data, tensor.owner};
    }
    const bool is_rescaled = name.ends_with(".att.output.weight") || name.ends_with(".ffn.value.weight");
    if (is_v7_ || rescale_every_ == 0 || !is_rescaled) return tensor;
    // The converter divides these by 2 once more every few layers, for programs that compute in half precision and
    // halve what flows through the layers there.
    const std::uint64_t number = layer.size() > 4 ? 0 : std::stoull("0" + layer), power = number / rescale_every_;
    return power == 0 ? tensor : scaled_by_power(tensor, static_cast<int>(std::min<std::uint64_t>(power, 60)));
  }

  const GgufFile& file_;
  bool is_v7_;
  Index head_size_;
  std::uint64_t rescale_every_;
};

}  // namespace detail

/// Reads a GGUF file of RWKV-6 or 7 and gives the tensors of the official checkpoint: what the converter of llama.cpp
/// changed is undone. Matrices stay in the mapped file, in their type. Metadata are those of write_gguf, the
/// vocabulary, and the chat template (chat_template_key).
/// Throws FormatError if the file is damaged, UnsupportedError for other architectures and types.
[[nodiscard]] inline Checkpoint read_gguf(std::shared_ptr<const MappedFile> file) {
  const GgufFile stored = read_gguf_file(std::move(file));
  return detail::GgufOfficial(stored).read();
}

RWKV_NAMESPACE_END
