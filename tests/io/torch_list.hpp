// SPDX-License-Identifier: MIT
// What torch.save writes of a list of tensors.
#pragma once

#include <string>
#include <vector>

#include "io/files.hpp"

namespace rwkv_test {

/// A `.pth` that holds a list of f32 tensors.
inline std::string torch_list(const std::vector<rwkv::TensorView>& tensors) {
  std::string pickle = "\x80\x02](";
  std::vector<ZipPart> parts{{.name = "state/data.pkl", .data = ""}};
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::vector<std::int64_t> shape(tensors[i].shape.begin(), tensors[i].shape.end());
    std::vector<std::int64_t> strides(shape.size(), 1);
    for (std::size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
    const std::string key = std::to_string(i);
    pickle += pickled_tensor("FloatStorage", key, tensors[i].n_elements(), 0, shape, strides);
    parts.push_back({.name = "state/data/" + key, .data = std::string(bytes_of(tensors[i]))});
  }
  parts[0].data = pickle + "e.";
  return make_zip(parts);
}

}  // namespace rwkv_test
