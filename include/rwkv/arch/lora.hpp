// SPDX-License-Identifier: MIT
// LoRA adapters: W + scale B A in place of a weight matrix W (Hu et al., "LoRA", 2021), as RWKV-LM-LoRA, RWKV-PEFT and
// Hugging Face PEFT store them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/json.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/core/thread_pool.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/quant/cast.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

inline void replace_first(std::string& text, std::string_view from, std::string_view to) {
  const std::size_t position = text.find(from);
  if (position != std::string::npos) text.replace(position, from.size(), to);
}

/// The official name of a tensor that an adapter names in the way of Hugging Face's models: the matrices that adapters
/// are trained for, of RWKV-4 to 6 ("rwkv.blocks.") and 7 ("model.layers.").
[[nodiscard]] inline std::string official_adapter_name(std::string name) {
  constexpr std::pair<std::string_view, std::string_view> parts[] = {
      {"rwkv.blocks.", "blocks."},   {"model.layers.", "blocks."},    {".attention.", ".att."},
      {".attn.", ".att."},           {".feed_forward.", ".ffn."},     {".att.r_proj.", ".att.receptance."},
      {".att.k_proj.", ".att.key."}, {".att.v_proj.", ".att.value."}, {".att.o_proj.", ".att.output."},
      {"lm_head.", "head."},         {"rwkv.embeddings.", "emb."},    {"model.embeddings.", "emb."}};
  constexpr std::string_view wrapper = "base_model.model.";
  if (name.starts_with(wrapper)) name.erase(0, wrapper.size());
  for (const auto& [from, to] : parts) replace_first(name, from, to);
  return name;
}

}  // namespace detail

/// How strong an adapter is: its file does not tell.
struct LoraStrength {
  double alpha;                     ///< over the rank r of each pair it is the scale
  bool is_rank_stabilised = false;  ///< over the square root of r instead (`use_rslora` of PEFT)
};

/// The strength in `adapter_config.json`, which Hugging Face PEFT writes beside an adapter.
/// Throws FormatError if it is not there, UnsupportedError if it differs between tensors.
[[nodiscard]] inline LoraStrength read_lora_config(const std::string& path) {
  const MappedFile file(path);
  JsonReader json(path, "configuration of an adapter", as_text(file.bytes()));
  std::optional<double> alpha;
  LoraStrength result{0};
  json.object([&](const std::string& key) {
    if (key == "lora_alpha") {
      alpha = json.real();
    } else if (key == "use_rslora") {
      result.is_rank_stabilised = json.truth_value();
    } else if (key == "alpha_pattern" && json.kind() == JsonReader::Kind::object) {
      json.object([&](const std::string& pattern) {
        throw UnsupportedError({.path = path, .item = "alpha_pattern", .found = in_quotes(pattern)});
      });
    } else {
      json.skip();
    }
  });
  json.end();
  if (!alpha) throw FormatError({.path = path, .item = "lora_alpha", .problem = "is missing"});
  result.alpha = *alpha;
  return result;
}

/// An adapter: pairs of A [r, n_in] and B [n_out, r] for weight matrices, and whole tensors that take the place of
/// those of the model. All methods are const.
class Lora {
public:
  /// Throws UnsupportedError for other kinds of adapters (DoRA, PiSSA, Bone, DiSHA, LoRA of web-rwkv), FormatError if a
  /// pair is not complete or has impossible shapes.
  Lora(const Checkpoint& file, const LoraStrength& strength) : path_(file.path()), strength_(strength) {
    for (const auto& [name, tensor] : file.entries()) {
      refuse_other_kind(name);
      if (const std::size_t a = name.find(".lora_A"); a != std::string::npos) {
        pair_of(name, a).a = tensor;
      } else if (const std::size_t b = name.find(".lora_B"); b != std::string::npos) {
        pair_of(name, b).b = tensor;
      } else {
        whole_.emplace(detail::official_adapter_name(name), tensor);
      }
    }
    for (const auto& [name, pair] : pairs_) check_pair(name, pair);
  }

  /// Throws ModelError if the model lacks a tensor that the adapter changes, or has it in another shape.
  void check(const Checkpoint& model) const {
    const auto expect = [this](const std::string& name, const Shape& shape, const TensorView* tensor) {
      if (tensor != nullptr && tensor->shape == shape) return;
      throw ModelError(
          {.path = path_,
           .item = tensor_item(name),
           .problem = "is an adapter of another model",
           .expected = tensor == nullptr ? "a tensor that the model has" : "shape " + to_string(tensor->shape),
           .found = "shape " + to_string(shape)});
    };
    for (const auto& [name, pair] : pairs_) expect(name, {pair.b.shape[0], pair.a.shape[1]}, model.find(name));
    for (const auto& [name, tensor] : whole_) {
      const TensorView* const own = model.find(name);
      const bool fits = own != nullptr && own->n_elements() == tensor.n_elements();  // vectors: [C] or [1, 1, C]
      expect(name, fits ? own->shape : tensor.shape, own);
    }
  }

  /// The tensor that takes the place of this one of the model, or itself.
  [[nodiscard]] const TensorView& base(const Checkpoint::Entry& entry) const {
    const auto found = whole_.find(entry.name);
    return found == whole_.end() ? entry.tensor : found->second;
  }

  /// Whether there is a pair for the tensor of that name.
  [[nodiscard]] bool changes(const std::string& name) const { return pairs_.contains(name); }

  /// W + scale B A in the type `dtype`, computed in f32. Throws as `cast`.
  [[nodiscard]] TensorView merged(const std::string& name, const TensorView& weight, DType dtype, ThreadPool& threads,
                                  const QuantiseOptions& quantising = {}) const {
    const Pair& pair = pairs_.at(name);
    const Buffer<float> a = read_all<float>(pair.a), b = read_all<float>(pair.b);
    const Index rank = pair.a.shape[0], n_in = pair.a.shape[1];
    const double divisor =
        strength_.is_rank_stabilised ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank);
    const auto scale = static_cast<float>(strength_.alpha / divisor);
    const auto add = [&](Index first, std::span<float> numbers) {
      for (Index done = 0; done < std::ssize(numbers);) {  // row by row; the first and the last may be cut
        const Index row = (first + done) / n_in, column = (first + done) % n_in;
        const Index n = std::min(n_in - column, std::ssize(numbers) - done);
        for (Index k = 0; k < rank; ++k) {
          const float factor = scale * b[row * rank + k];
          const float* const from = a.data() + k * n_in + column;
          float* const to = numbers.data() + done;
          for (Index i = 0; i < n; ++i) to[i] += factor * from[i];
        }
        done += n;
      }
    };
    return cast(weight, dtype, threads, add, quantising);
  }

private:
  struct Pair {
    TensorView a, b;  // null data: not there
  };

  void refuse_other_kind(std::string_view name) const {
    constexpr std::pair<std::string_view, std::string_view> kinds[] = {{".lora_M", "DoRA"},
                                                                       {".lora_magnitude_vector", "DoRA"},
                                                                       {".init_lora_", "PiSSA"},
                                                                       {".bone", "Bone"},
                                                                       {".disha", "DiSHA"},
                                                                       {".lora.", "LoRA in the layout of web-rwkv"},
                                                                       {".lora_embedding_", "LoRA of an embedding"}};
    for (const auto& [part, kind] : kinds) {
      if (name.find(part) == std::string_view::npos) continue;
      throw UnsupportedError({.path = path_,
                              .item = tensor_item(name),
                              .problem = "belongs to an adapter of kind " + std::string(kind),
                              .expected = "LoRA: pairs of lora_A and lora_B"});
    }
  }

  /// The pair that "P.lora_A", "P.lora_A.weight" or "P.lora_A.default.weight" belongs to, by the name "P.weight".
  [[nodiscard]] Pair& pair_of(const std::string& name, std::size_t position) {
    constexpr std::size_t length = std::string_view(".lora_A").size();
    const std::string_view rest = std::string_view(name).substr(position + length);
    if (!rest.empty() && rest != ".weight" && rest != ".default.weight") {
      throw FormatError({.path = path_, .item = tensor_item(name), .problem = "is no name of an adapter's tensor"});
    }
    return pairs_[detail::official_adapter_name(name.substr(0, position) + ".weight")];
  }

  void check_pair(const std::string& name, const Pair& pair) const {
    const auto is_matrix = [](const TensorView& tensor) {
      return tensor.data != nullptr && tensor.shape.rank() == 2 && info(tensor.dtype).is_real;
    };
    const bool is_whole = is_matrix(pair.a) && is_matrix(pair.b);
    if (is_whole && pair.a.shape[0] == pair.b.shape[1] && pair.a.shape[0] > 0) return;
    const auto found = [](const TensorView& tensor) {
      return tensor.data == nullptr ? "none" : to_string(tensor.shape);
    };
    throw FormatError({.path = path_,
                       .item = "the adapter of " + in_quotes(name),
                       .expected = "lora_A [r, n_in] and lora_B [n_out, r]",
                       .found = found(pair.a) + " and " + found(pair.b)});
  }

  std::string path_;
  LoraStrength strength_;
  std::map<std::string, Pair> pairs_;        // by the official name of the weight
  std::map<std::string, TensorView> whole_;  // by their official names
};

RWKV_NAMESPACE_END
