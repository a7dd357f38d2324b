// SPDX-License-Identifier: MIT
// Official checkpoints of RWKV-7 as GGUF files that llama.cpp runs.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/io/atomic_file.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/gguf.hpp"
#include "rwkv/io/gguf_official.hpp"
#include "rwkv/io/renaming.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The bytes of a GGUF file up to its data, as they grow.
class GgufHeader {
public:
  void add(std::string_view key, std::string_view text) {
    put_key(key, 8);
    put_text(text);
  }
  void add(std::string_view key, std::uint32_t number) {
    put_key(key, 4);
    put(number);
  }
  void add(std::string_view key, float number) {
    put_key(key, 6);
    put(number);
  }
  void add(std::string_view key, const std::vector<std::string>& texts) {
    put_key(key, 9);
    put(std::uint32_t{8});
    put(std::uint64_t{texts.size()});
    for (const std::string& text : texts) put_text(text);
  }
  void add(std::string_view key, const std::vector<std::int32_t>& numbers) {
    put_key(key, 9);
    put(std::uint32_t{5});
    put(std::uint64_t{numbers.size()});
    for (const std::int32_t number : numbers) put(number);
  }

  /// The header of a file with these tensors, zero-padded to where their data begins.
  /// Throws UnsupportedError for types that GGUF does not have.
  [[nodiscard]] std::string with_tensors(const std::string& path, const std::vector<Checkpoint::Entry>& tensors) const {
    GgufHeader result;
    result.bytes_ = "GGUF";
    result.put(std::uint32_t{3});
    result.put(std::uint64_t{tensors.size()});
    result.put(n_values_);
    result.bytes_ += bytes_;
    std::uint64_t offset = 0;
    for (const auto& [name, tensor] : tensors) {
      result.put_text(name);
      result.put(static_cast<std::uint32_t>(tensor.shape.rank()));
      for (Index axis = tensor.shape.rank(); axis-- > 0;) result.put(static_cast<std::uint64_t>(tensor.shape[axis]));
      result.put(type_of(path, name, tensor.dtype));
      result.put(offset);
      offset += padded(static_cast<std::uint64_t>(tensor.n_bytes()));
    }
    result.bytes_.resize(padded(result.bytes_.size()), '\0');
    return std::move(result.bytes_);
  }

  [[nodiscard]] static constexpr std::uint64_t padded(std::uint64_t n) noexcept { return (n + 31) / 32 * 32; }

private:
  template <class Number>
  void put(Number number) {
    const auto bytes = std::bit_cast<std::array<char, sizeof(Number)>>(number);
    bytes_.append(bytes.data(), bytes.size());
  }
  void put_text(std::string_view text) {
    put(std::uint64_t{text.size()});
    bytes_ += text;
  }
  void put_key(std::string_view key, std::uint32_t type) {
    ++n_values_;
    put_text(key);
    put(type);
  }
  [[nodiscard]] static std::uint32_t type_of(const std::string& path, std::string_view name, DType dtype) {
    for (const GgufType& type : gguf_types) {
      if (type.dtype == dtype) return type.number;
    }
    throw UnsupportedError(
        {.path = path, .item = tensor_item(name), .problem = "GGUF has no type " + std::string(rwkv::name(dtype))});
  }

  std::string bytes_;
  std::uint64_t n_values_ = 0;
};

/// The tensors of an official RWKV-7 as llama.cpp wants them: matrices as they are, all others in F32, low-rank
/// matrices transposed, the mixes of a layer in one tensor.
class GgufTensors {
public:
  explicit GgufTensors(const Checkpoint& official) : official_(official) {
    for (const Renaming& name : gguf_names) add_all("", name.stored, "", name.official);
    for (n_layer_ = 0; official.contains(block() + "ln1.weight"); ++n_layer_) add_layer();
  }

  std::vector<Checkpoint::Entry> entries;

  [[nodiscard]] Index n_layer() const noexcept { return n_layer_; }

private:
  [[nodiscard]] std::string block() const { return "blocks." + std::to_string(n_layer_) + "."; }

  void add_layer() {
    const std::string from = block(), to = "blk." + std::to_string(n_layer_) + ".";
    for (const Renaming& name : gguf_layer_names) add_all(to, name.stored, from, name.official);
    for (const Renaming& name : gguf_v7_names) {
      // The first layer has no earlier values to mix in, but llama.cpp wants the tensors to be there.
      const bool is_residual = name.official.starts_with("att.v");
      std::string source(name.official);
      if (n_layer_ == 0 && is_residual) source[4] = 'a';
      if (!official_.contains(from + source)) continue;
      add(to + std::string(name.stored), from + source, official_.at(from + source));
    }
    std::vector<float> mixes;
    for (const char letter : std::string_view("rwkvag")) {
      if (const TensorView* const mix = official_.find(from + "att.x_" + letter)) {
        const Buffer<float> values = read_all<float>(*mix);
        mixes.insert(mixes.end(), values.begin(), values.end());
      }
    }
    const Index n_embd = official_.at("emb.weight").shape[1];
    entries.push_back({to + "time_mix_lerp_fused.weight",
                       make_tensor({static_cast<Index>(mixes.size()) / n_embd, 1, 1, n_embd}, mixes)});
  }

  void add_all(std::string_view to, std::string_view gguf, std::string_view from, std::string_view official) {
    const auto add_one = [&](std::string_view ending) {
      const auto full = [&](std::string_view start, std::string_view name) {
        const bool is_pattern = name.ends_with('*');
        return std::string(start) + std::string(is_pattern ? name.substr(0, name.size() - 1) : name) +
               std::string(is_pattern ? ending : "");
      };
      const std::string source = full(from, official);
      if (const TensorView* const tensor = official_.find(source)) add(full(to, gguf), source, *tensor);
    };
    if (!gguf.ends_with('*')) return add_one("");
    for (const char* const ending : {"weight", "bias"}) add_one(ending);
  }

  void add(std::string name, std::string_view official, const TensorView& tensor) {
    if (is_low_rank(official))
      return entries.push_back({std::move(name), as_floats(transposed(without_blocks(tensor)))});
    const bool is_matrix = official.ends_with(".weight") && tensor.shape.rank() == 2;
    if (is_matrix) return entries.push_back({std::move(name), tensor});
    TensorView flat = as_floats(tensor);
    flat.shape = {flat.n_elements()};
    entries.push_back({std::move(name), flat});
  }

  [[nodiscard]] static TensorView as_floats(const TensorView& tensor) {
    const Buffer<float> values = read_all<float>(tensor);
    return make_tensor(tensor.shape, values.span());
  }

  const Checkpoint& official_;
  Index n_layer_ = 0;
};

/// A token of the World vocabulary as GGUF files spell it: bytes that are no printable ASCII are \xHH.
[[nodiscard]] inline std::string gguf_token(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') {
      text += "\\\\";
    } else if (byte >= 0x20 && byte < 0x7f) {
      text += c;
    } else {
      text += {'\\', 'x', digits[byte / 16], digits[byte % 16]};
    }
  }
  return text;
}

}  // namespace detail

/// Writes an official checkpoint of RWKV-7 as a GGUF file. `tokens` are the bytes of the tokens 1, 2, ... of a
/// vocabulary of World format, empty for a number that is none; numbers beyond them are padding.
///
/// It writes the tensors that are there; whether they are all that a model needs, its constructor says.
/// Throws ModelError without emb.weight, UnsupportedError if it is not RWKV-7 or has a type that GGUF has not, and what
/// AtomicFile throws.
inline void write_gguf(const Checkpoint& official, const std::string& path,
                       const std::vector<std::string>& tokens = {}) {
  const TensorView& embedding = official.at("emb.weight");
  const TensorView* const bonus = official.find("blocks.0.att.r_k");
  if (bonus == nullptr || bonus->shape.rank() != 2) {
    throw UnsupportedError({.path = path, .item = "GGUF", .expected = "a model of RWKV-7", .found = "another"});
  }
  const detail::GgufTensors tensors(official);
  const auto size = [&](std::string_view name, Index axis) {
    const TensorView* const tensor = official.find("blocks.0." + std::string(name));
    return static_cast<std::uint32_t>(tensor == nullptr ? 0 : tensor->shape[axis]);
  };
  detail::GgufHeader header;
  header.add("general.architecture", "rwkv7");
  header.add("general.quantization_version", 2u);
  header.add("rwkv7.context_length", 1048576u);
  header.add("rwkv7.embedding_length", static_cast<std::uint32_t>(embedding.shape[1]));
  header.add("rwkv7.block_count", static_cast<std::uint32_t>(tensors.n_layer()));
  header.add("rwkv7.feed_forward_length", size("ffn.key.weight", 0));
  header.add("rwkv7.attention.head_count", 0u);
  header.add("rwkv7.attention.layer_norm_epsilon", 1e-5f);
  header.add("rwkv7.wkv.head_size", static_cast<std::uint32_t>(bonus->shape[1]));
  header.add("rwkv7.attention.decay_lora_rank", size("att.w1", 1));
  header.add("rwkv7.attention.iclr_lora_rank", size("att.a1", 1));
  header.add("rwkv7.attention.value_residual_mix_lora_rank",
             official.contains("blocks.1.att.v1") ? static_cast<std::uint32_t>(official.at("blocks.1.att.v1").shape[1])
                                                  : size("att.a1", 1));
  header.add("rwkv7.attention.gate_lora_rank", size("att.g1", 1));

  std::vector<std::string> spelled{"<s>"};
  std::vector<std::int32_t> types{3};  // control; 1 is normal, 5 unused
  for (Index token = 1; token < embedding.shape[0]; ++token) {
    const auto i = static_cast<std::size_t>(token) - 1;
    const bool is_used = i < tokens.size() && !tokens[i].empty();
    spelled.push_back(is_used ? detail::gguf_token(tokens[i]) : "[PAD" + std::to_string(token) + "]");
    types.push_back(is_used ? 1 : 5);
  }
  header.add("tokenizer.ggml.model", "rwkv");
  header.add("tokenizer.ggml.tokens", spelled);
  header.add("tokenizer.ggml.token_type", types);
  header.add("tokenizer.ggml.bos_token_id", 0u);
  header.add("tokenizer.ggml.eos_token_id", 0u);

  AtomicFile file(path);
  file.write(header.with_tensors(path, tensors.entries));
  for (const auto& [name, tensor] : tensors.entries) {
    const auto n_bytes = static_cast<std::uint64_t>(tensor.n_bytes());
    file.write(std::span(tensor.data, n_bytes));
    file.write(std::string(detail::GgufHeader::padded(n_bytes) - n_bytes, '\0'));
  }
  file.commit();
}

RWKV_NAMESPACE_END
