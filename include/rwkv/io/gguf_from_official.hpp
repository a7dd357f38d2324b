// SPDX-License-Identifier: MIT
// What the converter of llama.cpp makes of the official tensors of RWKV-6 and 7: the inverse of GgufOfficial.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/io/gguf_official.hpp"
#include "rwkv/io/planned_change.hpp"
#include "rwkv/io/planned_tensor.hpp"
#include "rwkv/io/renaming.hpp"
#include "rwkv/io/time_mixing_names.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Mirrors conversion/rwkv.py of llama.cpp: matrices stay as they are, all others become f32, low-rank matrices are
/// transposed, the mixes of a layer are the rows of one tensor. Its halvings of RWKV-6 are left out, with
/// rescale_every_n_layers = 0: they are for half precision.
class GgufStored {
public:
  /// Throws UnsupportedError if it is neither RWKV-6 nor 7, or has a tensor that has no place in GGUF; ModelError if
  /// the mixes are not complete.
  GgufStored(const std::string& path, const PlannedFile& official) : path_(path) {
    for (const PlannedTensor& tensor : official.tensors) official_.emplace(tensor.name, &tensor);
    is_v7_ = find("blocks.0.att.r_k") != nullptr;
    if (!is_v7_ && find("blocks.0.att.time_maa_x") == nullptr) {
      throw UnsupportedError({.path = path_, .item = "GGUF", .expected = "RWKV-6 or 7", .found = "another model"});
    }
    const auto add_global = [this](const Renaming& name) { add_all("", name.stored, "", name.official); };
    const auto is_head = [](const Renaming& name) { return name.official == "head.weight"; };
    for (const Renaming& name : gguf_names) {
      if (!is_head(name)) add_global(name);
    }
    while (find(block() + "ln1.weight") != nullptr) {
      add_layer();
      ++n_layer_;
    }
    add_global(*std::ranges::find_if(gguf_names, is_head));  // last, as the model uses it: see InputMoments
    for (const PlannedTensor& tensor : official.tensors) {
      if (placed_.contains(tensor.name)) continue;
      throw UnsupportedError({.path = path_, .item = tensor_item(tensor.name), .problem = "GGUF has no place for it"});
    }
  }

  std::vector<PlannedTensor> tensors;  ///< in the names of GGUF

  [[nodiscard]] bool is_v7() const noexcept { return is_v7_; }
  [[nodiscard]] Index n_layer() const noexcept { return n_layer_; }

  /// The official tensor of that name, or null.
  [[nodiscard]] const PlannedTensor* find(std::string_view name) const {
    const auto found = official_.find(name);
    return found == official_.end() ? nullptr : found->second;
  }

private:
  [[nodiscard]] std::string block() const { return "blocks." + std::to_string(n_layer_) + "."; }

  void add_layer() {
    const std::string from = block(), to = "blk." + std::to_string(n_layer_) + ".";
    for (const Renaming& name : gguf_layer_names) add_all(to, name.stored, from, name.official);
    if (!is_v7_) {
      for (const Renaming& name : gguf_v6_names) {
        const bool is_mix = name.stored.starts_with("time_mix_lerp_") && name.stored != "time_mix_lerp_x.weight";
        if (!is_mix) add(to + std::string(name.stored), from + std::string(name.official));
      }
      return add_mixes(to, from + "att.time_maa_", "wkvrg");
    }
    for (const Renaming& name : gguf_v7_names) {
      // The first layer has no earlier values to mix in, and its v0, v1, v2 are of no use, but llama.cpp wants tensors
      // of those names, with the sizes of a0, a1, a2.
      std::string source(name.official);
      if (n_layer_ == 0 && name.official.starts_with("att.v")) {
        if (const PlannedTensor* const unused = find(from + source)) placed_.insert(unused->name);
        source[4] = 'a';
      }
      add(to + std::string(name.stored), from + source);
    }
    add_mixes(to, from + "att.x_", "rwkvag");
  }

  void add_mixes(const std::string& to, const std::string& from, std::string_view letters) {
    std::vector<PlannedTensor> rows;
    Index n_embd = 0;
    for (const char letter : letters) {
      const PlannedTensor* const row = find(from + letter);
      const Index n = row == nullptr ? 0 : row->shape.checked_n_elements().value_or(0);
      if (n == 0 || (n_embd != 0 && n != n_embd)) {
        throw ModelError({.path = path_,
                          .item = tensor_item(from + letter),
                          .problem = row == nullptr ? "is missing" : "has another size than the other mixes"});
      }
      n_embd = n;
      placed_.insert(row->name);
      rows.push_back(as_f32(*row));
    }
    tensors.push_back(joined(to + "time_mix_lerp_fused.weight", rows, {static_cast<Index>(rows.size()), 1, 1, n_embd}));
  }

  /// Both names may end with `*`, which stands for "weight" and for "bias".
  void add_all(const std::string& to, std::string_view gguf, const std::string& from, std::string_view official) {
    if (!gguf.ends_with('*')) return add(to + std::string(gguf), from + std::string(official));
    for (const char* const ending : {"weight", "bias"}) {
      add(to + std::string(gguf.substr(0, gguf.size() - 1)) + ending,
          from + std::string(official.substr(0, official.size() - 1)) + ending);
    }
  }

  void add(std::string name, const std::string& official) {
    const PlannedTensor* const found = find(official);
    if (found == nullptr) return;  // whether the model is complete, its constructor says
    placed_.insert(found->name);
    PlannedTensor tensor = *found;
    const bool is_matrix = official.ends_with(".weight") && tensor.shape.rank() == 2;
    if (is_low_rank(official)) {
      if (tensor.shape.rank() < 2) {
        throw ModelError({.path = path_,
                          .item = tensor_item(official),
                          .expected = "a matrix",
                          .found = "shape " + to_string(tensor.shape)});
      }
      tensor = turned(as_f32(std::move(tensor)));
    } else if (!is_matrix) {
      const bool is_by_head = time_mixing_part(official) == "time_faaaa" && tensor.shape.rank() == 2;
      tensor = as_f32(std::move(tensor));
      if (!is_by_head) tensor = reshaped(std::move(tensor), {tensor.shape.checked_n_elements().value_or(0)});
    }
    tensor.name = std::move(name);
    tensors.push_back(std::move(tensor));
  }

  const std::string& path_;
  std::unordered_map<std::string_view, const PlannedTensor*> official_;
  std::unordered_set<std::string_view> placed_;
  bool is_v7_ = false;
  Index n_layer_ = 0;
};

}  // namespace detail

RWKV_NAMESPACE_END
