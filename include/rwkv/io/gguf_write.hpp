// SPDX-License-Identifier: MIT
// Official checkpoints of RWKV-6 and 7 as GGUF files that llama.cpp runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/io/atomic_file.hpp"
#include "rwkv/io/gguf_from_official.hpp"
#include "rwkv/io/gguf_header.hpp"
#include "rwkv/io/planned_output.hpp"
#include "rwkv/io/planned_tensor.hpp"
#include "rwkv/io/vocabulary.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// general.file_type by the type that most bytes have (enum llama_ftype of llama.h): information for people.
[[nodiscard]] inline std::uint32_t gguf_file_type(const std::vector<PlannedTensor>& tensors) {
  constexpr std::pair<DType, std::uint32_t> types[] = {{DType::f32, 0},   {DType::f16, 1},     {DType::q4_0, 2},
                                                       {DType::q4_1, 3},  {DType::q8_0, 7},    {DType::q5_0, 8},
                                                       {DType::q5_1, 9},  {DType::q4_k, 14},   {DType::q5_k, 16},
                                                       {DType::q6_k, 18}, {DType::iq4_nl, 25}, {DType::bf16, 32}};
  Index most = 0;
  std::uint32_t result = 0;
  for (const auto& [dtype, number] : types) {
    Index n_bytes = 0;
    for (const PlannedTensor& tensor : tensors) n_bytes += tensor.dtype == dtype ? tensor.n_bytes() : 0;
    if (n_bytes > most) {
      most = n_bytes;
      result = number;
    }
  }
  return result;
}

/// The sizes that llama.cpp asks for in load_arch_hparams (src/models/rwkv6.cpp, rwkv7.cpp).
inline void add_gguf_sizes(GgufHeader& header, const std::string& path, const GgufStored& stored) {
  const auto size = [&](const std::string& name, Index axis) {
    const PlannedTensor* const tensor = stored.find(name);
    if (tensor != nullptr && tensor->shape.rank() > axis) return static_cast<std::uint32_t>(tensor->shape[axis]);
    throw ModelError({.path = path,
                      .item = tensor_item(name),
                      .expected = std::to_string(axis + 1) + " axes or more",
                      .found = tensor == nullptr ? "none" : to_string(tensor->shape)});
  };
  const std::string first = "blocks.0.att.", prefix = stored.is_v7() ? "rwkv7." : "rwkv6.";
  header.add(prefix + "context_length", 1048576u);  // there is no limit
  header.add(prefix + "embedding_length", size("emb.weight", 1));
  header.add(prefix + "block_count", static_cast<std::uint32_t>(stored.n_layer()));
  header.add(prefix + "feed_forward_length", size("blocks.0.ffn.key.weight", 0));
  header.add(prefix + "attention.head_count", 0u);
  header.add(prefix + "attention.layer_norm_epsilon", 1e-5f);
  header.add(prefix + "wkv.head_size", size(first + (stored.is_v7() ? "r_k" : "time_faaaa"), 1));
  if (stored.is_v7()) {
    const bool has_values = stored.find("blocks.1.att.v1") != nullptr;
    const bool has_gate = stored.find(first + "g1") != nullptr;
    header.add(prefix + "attention.decay_lora_rank", size(first + "w1", 1));
    header.add(prefix + "attention.iclr_lora_rank", size(first + "a1", 1));
    header.add(prefix + "attention.value_residual_mix_lora_rank",
               has_values ? size("blocks.1.att.v1", 1) : size(first + "a1", 1));
    header.add(prefix + "attention.gate_lora_rank", has_gate ? size(first + "g1", 1) : 0u);
  } else {
    header.add(prefix + "rescale_every_n_layers", 0u);
    header.add(prefix + "time_mix_extra_dim", size(first + "time_maa_w2", 1));
    header.add(prefix + "time_decay_extra_dim", size(first + "time_decay_w1", 1));
  }
}

/// The vocabulary as `_set_vocab_rwkv_world` of the converter writes it; numbers without bytes are padding.
inline void add_gguf_vocabulary(GgufHeader& header, const PlannedFile& official, Index n_vocab) {
  constexpr std::int32_t normal = 1, control = 3, unused = 5;
  constexpr std::size_t chat_end = 261;  // "\n\n" in World vocabularies
  std::vector<std::string> spelled{"<s>"};
  std::vector<std::int32_t> types{control};
  const auto text = official.metadata.find(std::string(vocabulary_key));
  const std::vector<std::string> tokens =
      vocabulary_tokens(text == official.metadata.end() ? std::string_view() : text->second, n_vocab);
  for (std::size_t token = 1; token < tokens.size(); ++token) {
    const bool is_used = !tokens[token].empty();
    spelled.push_back(is_used ? escaped_token(tokens[token]) : "[PAD" + std::to_string(token) + "]");
    types.push_back(is_used ? normal : unused);
  }
  header.add("tokenizer.ggml.model", "rwkv");
  header.add("tokenizer.ggml.tokens", spelled);
  header.add("tokenizer.ggml.token_type", types);
  header.add("tokenizer.ggml.bos_token_id", 0u);
  header.add("tokenizer.ggml.eos_token_id", 0u);
  if (tokens.size() > chat_end && tokens[chat_end] == "\n\n") {
    header.add("tokenizer.ggml.eot_token_id", static_cast<std::uint32_t>(chat_end));
  }
}

}  // namespace detail

/// Writes an official checkpoint of RWKV-6 or 7 as a GGUF file. Its vocabulary is the one in the metadata
/// (vocabulary_key), its chat template that under chat_template_key; other metadata are kept under their keys if these
/// begin with "rwkv.", or else behind "rwkv.metadata.". The same plan gives the same bytes; the file appears when it is
/// complete.
///
/// It writes the tensors that are there; whether they are all that a model needs, its constructor says.
/// Throws UnsupportedError, before anything is written, for other models, for types that GGUF has not and for tensors
/// that it has no place for; ModelError if sizes cannot be told; FormatError if the vocabulary is none; and IoError.
inline void write_gguf(const PlannedFile& official, const std::string& path, WriteProgress progress = no_progress) {
  const detail::GgufStored stored(path, official);
  detail::GgufHeader header;
  header.add("general.architecture", stored.is_v7() ? "rwkv7" : "rwkv6");
  header.add("general.file_type", detail::gguf_file_type(stored.tensors));
  header.add("general.quantization_version", 2u);
  detail::add_gguf_sizes(header, path, stored);
  detail::add_gguf_vocabulary(header, official, stored.find("emb.weight")->shape[0]);
  for (const auto& [key, text] : official.metadata) {
    if (key == vocabulary_key) continue;
    header.add(key == chat_template_key ? key : detail::gguf_metadata_key(key), text);
  }
  const std::string head = header.with_tensors(path, stored.tensors);

  AtomicFile file(path);
  file.write(head);
  for (const PlannedTensor& tensor : stored.tensors) {
    detail::write_planned(tensor, progress, file);
    const auto n_bytes = static_cast<std::uint64_t>(tensor.n_bytes());
    file.write(std::string(detail::GgufHeader::padded(n_bytes) - n_bytes, '\0'));
  }
  file.commit();
}

/// The same for tensors that are there.
inline void write_gguf(const Checkpoint& official, const std::string& path) { write_gguf(planned(official), path); }

RWKV_NAMESPACE_END
