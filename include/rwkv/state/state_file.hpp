// SPDX-License-Identifier: MIT
// States in files: our own, trained ones, and those of the Python package rwkv.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/time_state.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/safetensors.hpp"
#include "rwkv/state.hpp"
#include "rwkv/state/state_exchange.hpp"

RWKV_NAMESPACE_BEGIN

/// The kinds of files that hold a State.
enum class StateKind {
  own,    ///< written by save_state
  tuned,  ///< nothing but the tensors `blocks.*.att.time_state` of a state-tuned model
  pip     ///< a list of tensors: torch.save of a State of the Python package rwkv
};

namespace detail {

inline constexpr const char* state_format = "rwkv-state";
inline constexpr int state_version = 1;

/// Whether this is the name of a trained beginning of the State of a layer, "blocks.0.att.time_state".
[[nodiscard]] inline bool is_time_state(std::string_view name) {
  const auto parsed = parse_layer_name(name);
  return parsed && parsed->rest == "att." + std::string(time_state_name);
}

/// A text that every State of our own has.
[[nodiscard]] inline const std::string& state_metadata(const Checkpoint& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found != file.metadata().end()) return found->second;
  throw FormatError({.path = file.path(), .item = "metadata " + in_quotes(key), .problem = "is missing"});
}

inline void check_state_version(const Checkpoint& file) {
  const std::string& text = state_metadata(file, "version");
  const bool is_number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number || text.find_first_not_of('0') == std::string::npos) {
    throw FormatError({.path = file.path(),
                       .item = "metadata 'version'",
                       .expected = "a version from 1 on",
                       .found = in_quotes(text)});
  }
  int version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error == std::errc() && version == state_version) return;  // one that is too large for an int is newer, too
  throw UnsupportedError({.path = file.path(),
                          .problem = "the State is in a newer version of the format",
                          .expected = "version " + std::to_string(state_version),
                          .found = "version " + std::string(first_characters(text, 20)),
                          .hint = "It takes a newer version of this software to read it."});
}

/// Compares what the metadata and the layout say of the model that the State is of.
inline void check_state_model(const Checkpoint& file, const std::string& key, const std::string& expected,
                              const char* hint) {
  const std::string& found = state_metadata(file, key);
  if (found == expected) return;
  throw ModelError({.path = file.path(),
                    .problem = "is a State of another model",
                    .expected = key + " " + expected,
                    .found = key + " " + in_quotes(found),
                    .hint = hint});
}

/// Fills a new State. The tensors come before the fingerprint: where the sizes differ, that tells more.
template <class Scalar>
void read_own_state(const Checkpoint& file, BasicState<Scalar>& state) {
  const StateLayout& layout = state.layout();
  check_state_version(file);
  check_state_model(file, "generation", std::string(name(layout.generation())), "");
  for (const StateLayout::Entry& entry : layout.entries()) {
    set_state_tensor(state, entry, file.at(entry.name), {file.path(), entry.name});
  }
  for (const Checkpoint::Entry& stored : file.entries()) {
    if (std::ranges::find(layout.entries(), stored.name, &StateLayout::Entry::name) != layout.entries().end()) continue;
    throw ModelError(
        {.path = file.path(), .item = tensor_item(stored.name), .problem = "States of this model have no such tensor"});
  }
  check_state_model(file, "fingerprint", layout.fingerprint(), "The sizes are the same, but not the weights.");
}

/// Fills the matrices of a new State; what is carried from token to token stays zero, as when they were trained.
template <class Scalar>
void read_tuned_state(const Checkpoint& file, BasicState<Scalar>& state) {
  std::size_t n_layers = 0;
  for (const StateLayout::Entry& entry : state.layout().entries()) {
    const std::string_view target = entry.name;
    if (!target.ends_with("." + std::string(time_state_target))) continue;
    const std::string tuned =
        std::string(target.substr(0, target.size() - time_state_target.size())) + std::string(time_state_name);
    const TensorView& stored = file.at(tuned);
    check_state_tensor(stored, entry.shape, {file.path(), tuned});  // which is the same either way round
    set_state_tensor(state, entry, from_time_state(stored, state.layout().generation()), {file.path(), tuned});
    ++n_layers;
  }
  if (n_layers == file.entries().size()) return;
  throw ModelError({.path = file.path(),
                    .problem = "is a tuned State of another model",
                    .expected = std::to_string(n_layers) + " layers with time_state",
                    .found = std::to_string(file.entries().size())});
}

[[noreturn]] inline void refuse_as_state(const Checkpoint& file) {
  throw ModelError({.path = file.path(),
                    .problem = "is not a State",
                    .expected = "a file of save_state, a file of time_state alone, or a list of tensors",
                    .found = summary(file)});
}

}  // namespace detail

/// What kind of State a file holds, told by its content; nothing if it holds none.
[[nodiscard]] inline std::optional<StateKind> state_kind(const Checkpoint& file) {
  const auto format = file.metadata().find("format");
  if (format != file.metadata().end() && format->second == detail::state_format) return StateKind::own;
  const auto& entries = file.entries();
  if (entries.empty()) return std::nullopt;
  const auto is_time_state = [](const Checkpoint::Entry& entry) { return detail::is_time_state(entry.name); };
  if (std::ranges::all_of(entries, is_time_state)) return StateKind::tuned;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name != std::to_string(i)) return std::nullopt;
  }
  return StateKind::pip;
}

/// Checks what can be known of a State without its model, so that a file that passes may still be refused.
/// Throws as load_state for a file that no model takes.
inline void check_state(const Checkpoint& file, StateKind kind) {
  if (kind == StateKind::own) {
    detail::check_state_version(file);
    for (const char* const key : {"generation", "fingerprint"}) static_cast<void>(detail::state_metadata(file, key));
  }
  for (const auto& [name, tensor] : file.entries()) {
    const Shape& shape = tensor.shape;
    const bool has_matrices = shape.rank() == 3 && shape[1] == shape[2];
    if (info(tensor.dtype).is_real && (kind != StateKind::tuned || has_matrices)) continue;
    throw ModelError({.path = file.path(),
                      .item = tensor_item(name),
                      .expected = kind == StateKind::tuned ? "real numbers of shape [H, N, N]" : "real numbers",
                      .found = std::string(rwkv::name(tensor.dtype)) + " " + to_string(shape)});
  }
}

/// Writes a State as safetensors: its tensors under their names in the layout ("blocks.0.att.aa", ...), in its own
/// precision, and in the metadata which model it is of. Throws IoError; the file is then as it was.
template <class Scalar>
void save_state(const BasicState<Scalar>& state, const std::string& path) {
  Checkpoint file(path);
  file.metadata() = {{"format", detail::state_format},
                     {"version", std::to_string(detail::state_version)},
                     {"generation", std::string(name(state.layout().generation()))},
                     {"fingerprint", state.layout().fingerprint()}};
  for (const StateLayout::Entry& entry : state.layout().entries()) {
    const auto values = state.tensor(entry.name);
    constexpr DType dtype = sizeof(Scalar) == sizeof(double) ? DType::f64 : DType::f32;
    file.add(entry.name, {dtype, entry.shape, reinterpret_cast<const std::byte*>(values.data()), nullptr});
  }
  write_safetensors(file, path);
}

/// Reads the State of a file of any StateKind, in any precision, for a Model (or anything else that has new_state()).
///
/// A State of our own goes on exactly where it was saved, and is refused by other models as far as their fingerprints
/// tell them apart: these see all sizes, and of large matrices a sample (see model_fingerprint). The other kinds do not
/// tell which model they are of: only their sizes are checked. Of the options, those for checksums matter to lists.
/// Throws IoError, FormatError, ModelError naming the tensor if it is no State of such a model, and UnsupportedError
/// for newer versions of the format and for lists of tensors where from_pip_state has no layout.
template <class AnyModel>
[[nodiscard]] auto load_state(const AnyModel& model, const std::string& path, const OpenOptions& options = {}) {
  const Checkpoint file = open_checkpoint(path, options);
  const std::optional<StateKind> kind = state_kind(file);
  auto state = model.new_state();
  if (kind == StateKind::own) {
    detail::read_own_state(file, state);
  } else if (kind == StateKind::tuned) {
    detail::read_tuned_state(file, state);
  } else if (kind == StateKind::pip) {
    std::vector<TensorView> tensors;
    for (const Checkpoint::Entry& entry : file.entries()) tensors.push_back(entry.tensor);
    state = detail::from_pip_state(model, tensors, path);
  } else {
    detail::refuse_as_state(file);
  }
  return state;
}

RWKV_NAMESPACE_END
