// SPDX-License-Identifier: MIT
// What stands before the data of a GGUF file, version 3 (docs/gguf.md of ggml-org/ggml), as it is written.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/io/gguf.hpp"
#include "rwkv/io/planned_output.hpp"
#include "rwkv/io/planned_tensor.hpp"

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
  /// Throws UnsupportedError for types, names and shapes that GGUF does not have.
  [[nodiscard]] std::string with_tensors(const std::string& path, const std::vector<PlannedTensor>& tensors) const {
    GgufHeader result;
    result.bytes_ = "GGUF";
    result.put(std::uint32_t{3});
    result.put(std::uint64_t{tensors.size()});
    result.put(n_values_);
    result.bytes_ += bytes_;
    std::uint64_t offset = 0;
    for (const PlannedTensor& tensor : tensors) {
      check_shape(path, tensor);
      result.put_text(tensor.name);
      result.put(static_cast<std::uint32_t>(tensor.shape.rank()));
      for (Index axis = tensor.shape.rank(); axis-- > 0;) result.put(static_cast<std::uint64_t>(tensor.shape[axis]));
      result.put(type_of(path, tensor));
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
  [[nodiscard]] static std::uint32_t type_of(const std::string& path, const PlannedTensor& tensor) {
    for (const GgufType& type : gguf_types) {
      if (type.dtype == tensor.dtype) return type.number;
    }
    refuse_stored_type(path, tensor, "GGUF");
  }
  /// GGML_MAX_NAME, GGML_MAX_DIMS and ne of ggml.h; a name ends with a zero there.
  static void check_shape(const std::string& path, const PlannedTensor& tensor) {
    constexpr std::size_t max_name = 63;
    const Shape& shape = tensor.shape;
    const bool is_name = tensor.name.size() <= max_name;
    if (is_name && shape.rank() >= 1 && shape.rank() <= 4 && tensor.n_bytes() > 0) return;
    throw UnsupportedError(
        {.path = path,
         .item = tensor_item(tensor.name),
         .expected = is_name ? "1 to 4 dimensions, none of length 0, for GGUF" : "a name of at most 63 bytes, for GGUF",
         .found = is_name ? to_string(shape) : std::to_string(tensor.name.size())});
  }

  std::string bytes_;
  std::uint64_t n_values_ = 0;
};

}  // namespace detail

RWKV_NAMESPACE_END
