// SPDX-License-Identifier: MIT
// States of RWKV-4 to 7 as other programs have them in memory: the Python package rwkv, and rwkv.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/core/buffer.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/core/to_text.hpp"
#include "rwkv/state.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Where the values of a State come from, for messages.
struct StateSource {
  const std::string& path;
  std::string tensor;
};

[[noreturn]] inline void refuse_state_tensor(const StateSource& source, std::string_view expected,
                                             std::string_view found) {
  throw ModelError({.path = source.path,
                    .item = tensor_item(source.tensor),
                    .expected = expected,
                    .found = found,
                    .hint = "Is this the State of another model?"});
}

/// Throws ModelError unless it holds real numbers and has this shape. Any type of real numbers will do.
inline void check_state_tensor(const TensorView& stored, const Shape& shape, const StateSource& source) {
  if (stored.shape == shape && info(stored.dtype).is_real) return;
  refuse_state_tensor(source, "real numbers of shape " + to_string(shape),
                      std::string(name(stored.dtype)) + " " + to_string(stored.shape));
}

/// "8 at position 0": the first of the values that such a tensor of a State cannot have, or nothing.
template <class Scalar>
[[nodiscard]] std::string first_impossible(const StateLayout::Entry& entry, std::span<const Scalar> values) {
  const auto is_possible = [&entry](Scalar value) {
    return entry.limit == 0 || (value >= 0 && value < static_cast<Scalar>(entry.limit) && value == std::floor(value));
  };
  const auto bad = std::ranges::find_if_not(values, is_possible);
  if (bad == values.end()) return "";
  return to_text(*bad) + " at position " + std::to_string(bad - values.begin());
}

/// Sets a tensor of a State, one of its layout. Infinities and NaN are let be, as in models: they harm nobody, and a
/// State that got them is still the State that was saved.
/// Throws ModelError as check_state_tensor, and if numbers that have a limit are not whole or not below it.
template <class Scalar>
void set_state_tensor(BasicState<Scalar>& state, const StateLayout::Entry& entry, const TensorView& stored,
                      const StateSource& source) {
  check_state_tensor(stored, entry.shape, source);
  const Buffer<Scalar> values = read_all<Scalar>(stored);
  const std::string bad = first_impossible<Scalar>(entry, values.span());
  if (!bad.empty()) refuse_state_tensor(source, "whole numbers from 0 to " + std::to_string(entry.limit - 1), bad);
  std::ranges::copy(values, state.tensor(entry.name).begin());
}

/// The tensors of a State layer by layer, as the Python package has them: in the time mixing the carried row, aa, bb,
/// pp or S, then the carried row of the channel mixing. Throws UnsupportedError if there are others; the path is for
/// its message.
[[nodiscard]] inline std::vector<const StateLayout::Entry*> exchanged_tensors(const StateLayout& layout,
                                                                              const std::string& path = "") {
  constexpr std::string_view sums[] = {"att.xx", "att.aa", "att.bb", "att.pp", "ffn.xx"};
  constexpr std::string_view matrices[] = {"att.xx", "att.S", "ffn.xx"};
  const Generation generation = layout.generation();
  const auto refuse = [&](const std::string& what) {
    throw UnsupportedError({.path = path,
                            .item = "state",
                            .problem = "other programs have no layout for States of this kind of model",
                            .expected = "RWKV-4 to 7, without ffnPre and copy head",
                            .found = "RWKV-" + std::string(name(generation)) + what});
  };
  if (generation < Generation::v4 || generation > Generation::v7) refuse("");
  std::span<const std::string_view> parts = matrices;
  if (generation == Generation::v4) parts = sums;
  std::vector<const StateLayout::Entry*> tensors;
  for (const StateLayout::Entry& entry : layout.entries()) {
    const std::size_t layer = tensors.size() / parts.size();
    const std::string_view part = parts[tensors.size() % parts.size()];
    const bool is_known = entry.name == "blocks." + std::to_string(layer) + "." + std::string(part);
    if (!is_known) refuse(" with a state tensor " + in_quotes(entry.name));
    tensors.push_back(&entry);
  }
  if (tensors.size() % parts.size() != 0) refuse(" without " + in_quotes(parts.back()) + " in its last layer");
  return tensors;
}

/// The same as rwkv.cpp has them: in each layer the carried row of the channel mixing comes first.
[[nodiscard]] inline std::vector<const StateLayout::Entry*> rwkvcpp_tensors(const StateLayout& layout) {
  std::vector<const StateLayout::Entry*> tensors = exchanged_tensors(layout);
  const auto n_parts = layout.generation() == Generation::v4 ? 5 : 3;
  for (auto layer = tensors.begin(); layer != tensors.end(); layer += n_parts) {
    std::rotate(layer, layer + n_parts - 1, layer + n_parts);
  }
  return tensors;
}

/// As the public from_pip_state, with the path for messages.
template <class AnyModel>
[[nodiscard]] auto from_pip_state(const AnyModel& model, std::span<const TensorView> tensors, const std::string& path) {
  auto state = model.new_state();
  const auto wanted = exchanged_tensors(state.layout(), path);
  if (tensors.size() != wanted.size()) {
    throw ModelError({.path = path,
                      .item = path.empty() ? "state" : "",
                      .problem = "is of another model",
                      .expected = std::to_string(wanted.size()) + " tensors",
                      .found = std::to_string(tensors.size())});
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    set_state_tensor(state, *wanted[i], tensors[i], {path, std::to_string(i)});
  }
  return state;
}

}  // namespace detail

/// A State as the list of tensors that `RWKV.forward` of the Python package rwkv takes and returns, each a copy.
///
/// RWKV-4 has five for each layer: the carried row of the time mixing, aa, bb, pp, the carried row of the channel
/// mixing; RWKV-5 to 7 have three, with S [H, N, N] in the middle, as here: [key, value] in RWKV-5 and 6, [value, key]
/// in RWKV-7. Source: rwkv_pip_package/src/rwkv/model.py (BlinkDL/ChatRWKV).
/// Throws UnsupportedError for other generations, and for models with ffnPre or a copy head.
template <class Scalar>
[[nodiscard]] std::vector<TensorView> to_pip_state(const BasicState<Scalar>& state) {
  std::vector<TensorView> tensors;
  for (const StateLayout::Entry* const entry : detail::exchanged_tensors(state.layout())) {
    constexpr DType dtype = sizeof(Scalar) == sizeof(double) ? DType::f64 : DType::f32;
    tensors.push_back(make_tensor(dtype, entry->shape, state.tensor(entry->name)));
  }
  return tensors;
}

/// The State from such a list, for a Model (or anything else that has new_state()). Nothing in it tells which model it
/// is of: only the sizes are checked.
/// Throws ModelError if the number, a shape or a type of the tensors does not fit; UnsupportedError as to_pip_state.
template <class AnyModel>
[[nodiscard]] auto from_pip_state(const AnyModel& model, std::span<const TensorView> tensors) {
  return detail::from_pip_state(model, tensors, "");
}

/// A State as the array of floats that rwkv.cpp's `rwkv_eval` takes and returns: for each layer the carried row of the
/// channel mixing, the carried row of the time mixing, then aa, bb, pp, or S as in to_pip_state. The single-file demos
/// of ChatRWKV have the same.
/// Throws UnsupportedError as to_pip_state.
template <class Scalar>
[[nodiscard]] std::vector<float> to_rwkvcpp_state(const BasicState<Scalar>& state) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(state.layout().size()));
  for (const StateLayout::Entry* const entry : detail::rwkvcpp_tensors(state.layout())) {
    for (const Scalar value : state.tensor(entry->name)) values.push_back(static_cast<float>(value));
  }
  return values;
}

/// The State from such an array, for a Model (or anything else that has new_state()). Only the size is checked.
/// Throws ModelError if it does not fit; UnsupportedError as to_pip_state.
template <class AnyModel>
[[nodiscard]] auto from_rwkvcpp_state(const AnyModel& model, std::span<const float> values) {
  auto state = model.new_state();
  const auto tensors = detail::rwkvcpp_tensors(state.layout());
  if (values.size() != state.values().size()) {
    throw ModelError({.item = "state",
                      .problem = "is of another model",
                      .expected = std::to_string(state.values().size()) + " numbers",
                      .found = std::to_string(values.size())});
  }
  for (const StateLayout::Entry* const entry : tensors) {
    const auto to = state.tensor(entry->name);
    std::ranges::copy(values.first(to.size()), to.begin());
    values = values.subspan(to.size());
  }
  return state;
}

RWKV_NAMESPACE_END
