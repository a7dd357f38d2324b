// SPDX-License-Identifier: MIT
// What every writer takes: tensors that are yet to be made, one after the other, so that a file larger than the memory
// can be written.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

/// A tensor of which all is known but its bytes.
struct PlannedTensor {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  /// Gives the tensor, in that type and shape. Called once, when its turn in the file comes, and may throw; what it
  /// made is gone when it is written.
  std::function<TensorView()> make;

  [[nodiscard]] Index n_bytes() const noexcept { return checked_n_bytes(dtype, shape).value_or(0); }
};

/// Tensors under their official names, and free text that goes with them, as Checkpoint has it.
struct PlannedFile {
  std::vector<PlannedTensor> tensors;
  std::map<std::string, std::string> metadata;

  /// The tensor of that name, or null.
  [[nodiscard]] const PlannedTensor* find(std::string_view name) const noexcept {
    for (const PlannedTensor& tensor : tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }
};

/// A tensor that is there already.
[[nodiscard]] inline PlannedTensor planned(std::string name, TensorView tensor) {
  return {std::move(name), tensor.dtype, tensor.shape, [tensor] { return tensor; }};
}

/// The tensors of a checkpoint as they are.
[[nodiscard]] inline PlannedFile planned(const Checkpoint& checkpoint) {
  PlannedFile plan{{}, checkpoint.metadata()};
  for (const auto& [name, tensor] : checkpoint.entries()) plan.tensors.push_back(planned(name, tensor));
  return plan;
}

/// Told how many bytes of tensors were written since the last call, several times in a large tensor. It may throw: the
/// file is then as it was before.
using WriteProgress = FunctionRef<void(Index)>;

inline void no_progress(Index) noexcept {}

RWKV_NAMESPACE_END
