// SPDX-License-Identifier: MIT
// What the converter of rwkv.cpp makes of the official tensors of a model: the inverse of RwkvCppOfficial.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/io/planned_change.hpp"
#include "rwkv/io/planned_output.hpp"
#include "rwkv/io/planned_tensor.hpp"
#include "rwkv/io/time_mixing_names.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Mirrors python/convert_pytorch_to_ggml.py of RWKV/rwkv.cpp; what it does is told at RwkvCppOfficial. In types it
/// follows it, too: vectors and all that `kept_exact` names are f32, whatever they were.
///
/// Low-rank matrices cannot be turned in blocks, and rwkv.cpp has no bf16: those of either type become f32.
class RwkvCppStored {
public:
  /// Throws UnsupportedError if it is none of RWKV-4 to 7.
  RwkvCppStored(const std::string& path, const PlannedFile& official) : path_(path), official_(official) {
    const auto has = [&](std::string_view part) { return find_part(part) != nullptr; };
    generation_ = has("r_k") ? 7 : has("time_maa_x") ? 6 : has("ln_x.weight") ? 5 : has("time_mix_k") ? 4 : 0;
    const PlannedTensor* const decay = find_part("time_decay");
    const bool is_v3 = generation_ == 4 && decay != nullptr && decay->shape.rank() == 2 && decay->shape[1] == 1;
    if (generation_ == 0 || is_v3) {
      throw UnsupportedError({.path = path_, .item = "rwkv.cpp", .expected = "RWKV-4 to 7", .found = "another model"});
    }
  }

  /// The tensors of the file. Throws UnsupportedError for one that rwkv.cpp has no place or no type for.
  [[nodiscard]] std::vector<PlannedTensor> tensors() const {
    std::vector<PlannedTensor> result;
    for (const PlannedTensor& tensor : official_.tensors) {
      if (!is_known(tensor.name)) {
        throw UnsupportedError(
            {.path = path_, .item = tensor_item(tensor.name), .problem = "rwkv.cpp has no place for it"});
      }
      const std::string_view part = time_mixing_part(tensor.name);
      const bool is_mix = generation_ == 7 && part.size() == 3 && part.starts_with("x_");
      if (is_mix && part != "x_r") continue;  // goes with x_r
      result.push_back(stored(is_mix ? joined_mixes(tensor) : changed(tensor)));
    }
    return result;
  }

private:
  /// The first tensor of time mixing of that name, in any layer.
  [[nodiscard]] const PlannedTensor* find_part(std::string_view part) const {
    const auto& tensors = official_.tensors;
    const auto found = std::find_if(tensors.begin(), tensors.end(), [part](const PlannedTensor& tensor) {
      return time_mixing_part(tensor.name) == part;
    });
    return found == tensors.end() ? nullptr : &*found;
  }

  /// Whether a model of this generation has a tensor of that name in rwkv.cpp (rwkv_model_loading.inc).
  [[nodiscard]] bool is_known(std::string_view name) const {
    constexpr std::string_view global[] = {"emb.weight",  "head.weight",         "ln_out.weight",
                                           "ln_out.bias", "blocks.0.ln0.weight", "blocks.0.ln0.bias"};
    constexpr std::string_view all[] = {"ln1.weight",
                                        "ln1.bias",
                                        "ln2.weight",
                                        "ln2.bias",
                                        "att.key.weight",
                                        "att.value.weight",
                                        "att.receptance.weight",
                                        "att.output.weight",
                                        "ffn.key.weight",
                                        "ffn.value.weight"};
    constexpr std::string_view v4[] = {"att.time_decay", "att.time_first", "att.time_mix_k", "att.time_mix_v",
                                       "att.time_mix_r", "ffn.time_mix_k", "ffn.time_mix_r", "ffn.receptance.weight"};
    constexpr std::string_view v5[] = {"att.time_faaaa", "att.time_mix_g", "att.gate.weight"};
    constexpr std::string_view v6[] = {
        "att.time_decay",  "att.time_faaaa",  "att.time_maa_x",        "att.time_maa_w",
        "att.time_maa_k",  "att.time_maa_v",  "att.time_maa_r",        "att.time_maa_g",
        "att.time_maa_w1", "att.time_maa_w2", "att.time_decay_w1",     "att.time_decay_w2",
        "ffn.time_maa_k",  "ffn.time_maa_r",  "ffn.receptance.weight", "att.gate.weight"};
    constexpr std::string_view v7[] = {"att.x_r", "att.x_w", "att.x_k", "att.x_v", "att.x_a", "att.x_g", "att.w0",
                                       "att.w1",  "att.w2",  "att.a0",  "att.a1",  "att.a2",  "att.v0",  "att.v1",
                                       "att.v2",  "att.g1",  "att.g2",  "att.k_k", "att.k_a", "att.r_k", "ffn.x_k"};
    const auto is_in = [](std::span<const std::string_view> names, std::string_view wanted) {
      return std::find(names.begin(), names.end(), wanted) != names.end();
    };
    if (is_in(global, name)) return true;
    const std::size_t dot = name.find('.', std::string_view("blocks.").size());
    if (!name.starts_with("blocks.") || dot == std::string_view::npos) return false;
    const std::string_view part = name.substr(dot + 1);
    if (is_in(all, part) || (generation_ >= 5 && (part == "att.ln_x.weight" || part == "att.ln_x.bias"))) return true;
    switch (generation_) {
      case 4: return is_in(v4, part);
      case 5: return is_in(v4, part) || is_in(v5, part);
      case 6: return is_in(v6, part);
      default: return is_in(v7, part);
    }
  }

  [[nodiscard]] PlannedTensor joined_mixes(const PlannedTensor& first) const {
    const std::string start = first.name.substr(0, first.name.size() - 1);
    std::vector<PlannedTensor> rows;
    for (const char letter : std::string_view("rwkvag")) {
      const PlannedTensor* const row = official_.find(start + letter);
      if (row == nullptr) {
        throw UnsupportedError({.path = path_, .item = tensor_item(start + letter), .problem = "rwkv.cpp wants it"});
      }
      rows.push_back(as_f32(*row));
    }
    const Index n_embd = first.shape.checked_n_elements().value_or(0);
    return joined(start + "rwkvag", rows, {6, 1, n_embd});
  }

  [[nodiscard]] PlannedTensor changed(PlannedTensor tensor) const {
    const std::string name = tensor.name;
    const std::string_view part = time_mixing_part(name);
    if (is_low_rank(name)) {
      const bool has_type = tensor.dtype == DType::f16;
      return turned(has_type ? std::move(tensor) : as_f32(std::move(tensor)));
    }
    if (name.find(".time_") == std::string::npos) return tensor;
    tensor = reshaped(std::move(tensor), without_ones(tensor.shape));
    const bool is_decay = part == "time_decay", is_bonus = part == "time_first" || part == "time_faaaa";
    if (generation_ == 4) {
      return is_decay ? computed(std::move(tensor), [](double x) { return -std::exp(x); }) : std::move(tensor);
    }
    if (!is_decay && !is_bonus) return tensor;
    tensor = reshaped(std::move(tensor), by_head(name, tensor.shape));
    if (generation_ == 6) return tensor;
    if (is_decay) return computed(std::move(tensor), [](double x) { return std::exp(-std::exp(x)); });
    if (part == "time_first") return computed(std::move(tensor), [](double x) { return std::exp(x); });
    return tensor;
  }

  /// [H, 1, 1] of numbers for each head, [H, N, 1] of numbers for each channel. Axes of length 1 are lost already, so a
  /// vector of RWKV-6 is [C], and one of RWKV-5 that of its only head, or [H].
  [[nodiscard]] Shape by_head(std::string_view name, const Shape& shape) const {
    const Index n = shape.checked_n_elements().value_or(0);
    if (shape.rank() == 2) return {shape[0], shape[1], 1};
    Index n_head = n;
    if (const PlannedTensor* const bonus =
            official_.find(std::string(name.substr(0, name.rfind('.'))) + ".time_faaaa")) {
      if (bonus->shape.rank() > 0 && bonus->shape[0] > 0) n_head = bonus->shape[0];
    }
    const bool fits = n_head > 0 && n % n_head == 0;
    return fits ? Shape{n_head, n / n_head, 1} : Shape{n, 1, 1};
  }

  /// In a type that rwkv.cpp has.
  [[nodiscard]] static PlannedTensor stored(PlannedTensor tensor) {
    constexpr std::string_view kept_exact[] = {".time_", ".k_k", ".k_a", ".r_k", ".x_rwkvag",
                                               ".x_k",   ".w0",  ".a0",  ".v0"};
    const std::string& name = tensor.name;
    const bool is_exact = std::any_of(std::begin(kept_exact), std::end(kept_exact),
                                      [&name](std::string_view part) { return name.find(part) != std::string::npos; });
    return is_exact || tensor.shape.rank() < 2 ? as_f32(std::move(tensor)) : std::move(tensor);
  }

  const std::string& path_;
  const PlannedFile& official_;
  int generation_;
};

}  // namespace detail

RWKV_NAMESPACE_END
