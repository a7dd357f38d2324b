// SPDX-License-Identifier: MIT
// States in files.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/safetensors.hpp"
#include "rwkv/state.hpp"

RWKV_NAMESPACE_BEGIN

/// Writes a State as safetensors: its tensors under their names in the layout ("blocks.0.att.aa", ...), in its own
/// precision. Throws IoError; the file is then as it was.
template <class Scalar>
void save_state(const BasicState<Scalar>& state, const std::string& path) {
  Checkpoint file(path);
  file.metadata()["format"] = "rwkv-state";
  for (const StateLayout::Entry& entry : state.layout().entries()) {
    const auto values = state.tensor(entry.name);
    const DType dtype = sizeof(Scalar) == sizeof(double) ? DType::f64 : DType::f32;
    file.add(entry.name, {dtype, entry.shape, reinterpret_cast<const std::byte*>(values.data()), nullptr});
  }
  write_safetensors(file, path);
}

/// Reads a State that save_state wrote, in either precision. `empty` is a new State of the model that it is for.
/// Throws IoError, FormatError, and ModelError naming the tensor if the file is not a State of such a model.
template <class Scalar>
[[nodiscard]] BasicState<Scalar> load_state(BasicState<Scalar> empty, const std::string& path) {
  const Checkpoint file = open_checkpoint(path);
  for (const StateLayout::Entry& entry : empty.layout().entries()) {
    const TensorView& tensor = file.at(entry.name);
    if (tensor.shape != entry.shape || !info(tensor.dtype).is_real) {
      throw ModelError({.path = path,
                        .item = tensor_item(entry.name),
                        .expected = "real numbers of shape " + to_string(entry.shape),
                        .found = std::string(name(tensor.dtype)) + " " + to_string(tensor.shape),
                        .hint = "Is this the State of another model?"});
    }
    const Buffer<Scalar> values = read_all<Scalar>(tensor);
    std::ranges::copy(values, empty.tensor(entry.name).begin());
  }
  if (file.entries().size() != empty.layout().entries().size()) {
    throw ModelError({.path = path,
                      .expected = std::to_string(empty.layout().entries().size()) + " tensors",
                      .found = std::to_string(file.entries().size()),
                      .hint = "Is this the State of another model?"});
  }
  return empty;
}

RWKV_NAMESPACE_END
