// SPDX-License-Identifier: MIT
// Model files of rwkv.cpp, version 101, as its converter and its quantiser make them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/io/atomic_file.hpp"
#include "rwkv/io/planned_output.hpp"
#include "rwkv/io/planned_tensor.hpp"
#include "rwkv/io/rwkvcpp.hpp"
#include "rwkv/io/rwkvcpp_from_official.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The number of a type in rwkv.cpp. Throws UnsupportedError if it has none.
[[nodiscard]] inline std::int32_t rwkvcpp_type(const std::string& path, const PlannedTensor& tensor) {
  for (const RwkvCppType& type : rwkvcpp_types) {
    if (type.dtype == tensor.dtype) return type.number;
  }
  refuse_stored_type(path, tensor, "rwkv.cpp");
}

inline void append_i32(std::string& bytes, std::int32_t number) {
  const auto four = std::bit_cast<std::array<char, 4>>(number);
  bytes.append(four.data(), four.size());
}

/// A number of the file, which has 32 bits for it. Throws UnsupportedError if that is not enough.
[[nodiscard]] inline std::int32_t rwkvcpp_size(const std::string& path, const PlannedTensor& tensor, Index size) {
  if (size >= 1 && size <= std::numeric_limits<std::int32_t>::max()) return static_cast<std::int32_t>(size);
  throw UnsupportedError({.path = path,
                          .item = tensor_item(tensor.name),
                          .expected = "sizes of 1 to 2147483647, for rwkv.cpp",
                          .found = to_string(tensor.shape)});
}

/// What stands before the data of a tensor.
[[nodiscard]] inline std::string rwkvcpp_tensor_header(const std::string& path, const PlannedTensor& tensor) {
  const Index rank = tensor.shape.rank();
  if (rank < 1 || rank > 3) {
    throw UnsupportedError({.path = path,
                            .item = tensor_item(tensor.name),
                            .expected = "1 to 3 dimensions, for rwkv.cpp",
                            .found = to_string(tensor.shape)});
  }
  std::string bytes;
  append_i32(bytes, static_cast<std::int32_t>(rank));
  append_i32(bytes, static_cast<std::int32_t>(tensor.name.size()));
  append_i32(bytes, rwkvcpp_type(path, tensor));
  for (Index axis = rank; axis-- > 0;) append_i32(bytes, rwkvcpp_size(path, tensor, tensor.shape[axis]));
  return bytes + tensor.name;
}

/// The type that most bytes have, which stands in the header of the file.
[[nodiscard]] inline std::int32_t rwkvcpp_file_type(const std::string& path,
                                                    const std::vector<PlannedTensor>& tensors) {
  std::map<std::int32_t, Index> n_bytes;
  for (const PlannedTensor& tensor : tensors) n_bytes[rwkvcpp_type(path, tensor)] += tensor.n_bytes();
  return std::max_element(n_bytes.begin(), n_bytes.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

}  // namespace detail

/// Writes an official checkpoint of RWKV-4 to 7 as a file of rwkv.cpp: what its converter changes is changed, and
/// vectors become f32. The same plan gives the same bytes; the file appears when it is complete.
///
/// Decays and bonuses that the format holds as exponentials (RWKV-4, 5) are rounded by that; all other numbers stay.
/// There is no room for metadata.
/// Throws UnsupportedError, before anything is written, for other models, types and tensors; ModelError without
/// emb.weight; IoError if the file cannot be written.
inline void write_rwkvcpp(const PlannedFile& official, const std::string& path, WriteProgress progress = no_progress) {
  const std::vector<PlannedTensor> tensors = detail::RwkvCppStored(path, official).tensors();
  const PlannedTensor* const embedding = official.find("emb.weight");
  if (embedding == nullptr || embedding->shape.rank() != 2) {
    throw ModelError({.path = path, .item = "tensor 'emb.weight'", .expected = "a matrix"});
  }
  std::int32_t n_layer = 0;
  while (official.find("blocks." + std::to_string(n_layer) + ".ln1.weight") != nullptr) ++n_layer;
  std::string header("fmgg", 4);  // 0x67676d66
  detail::append_i32(header, 101);
  for (const Index axis : {0, 1}) {
    detail::append_i32(header, detail::rwkvcpp_size(path, *embedding, embedding->shape[axis]));
  }
  detail::append_i32(header, n_layer);
  detail::append_i32(header, detail::rwkvcpp_file_type(path, tensors));
  std::vector<std::string> headers;
  for (const PlannedTensor& tensor : tensors) headers.push_back(detail::rwkvcpp_tensor_header(path, tensor));

  AtomicFile file(path);
  file.write(header);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    file.write(headers[i]);
    detail::write_planned(tensors[i], progress, file);
  }
  file.commit();
}

RWKV_NAMESPACE_END
