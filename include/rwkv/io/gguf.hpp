// SPDX-License-Identifier: MIT
// The container GGUF, versions 2 and 3 (docs/gguf.md of ggml-org/ggml): named values and named tensors of any program.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/tensor_in_file.hpp"

RWKV_NAMESPACE_BEGIN

/// An array in the metadata: checked to be there, read when somebody asks.
struct GgufArray {
  std::uint32_t type;  ///< of the elements, as in the file
  std::uint64_t size;
  std::span<const std::byte> bytes;
};

/// Metadata in the order of the file; all whole numbers are one type, and so are all others. Text and arrays point into
/// the file.
using GgufValue = std::variant<std::int64_t, std::uint64_t, double, bool, std::string_view, GgufArray>;

/// A GGUF file as it is: nothing is renamed.
struct GgufFile {
  Checkpoint tensors;  ///< in the names of the file
  std::vector<std::pair<std::string_view, GgufValue>> metadata;

  /// The value of that name, or null.
  [[nodiscard]] const GgufValue* find(std::string_view key) const noexcept {
    for (const auto& [name, value] : metadata) {
      if (name == key) return &value;
    }
    return nullptr;
  }
  /// A text of the metadata, or nothing.
  [[nodiscard]] std::optional<std::string_view> text(std::string_view key) const noexcept {
    const GgufValue* const value = find(key);
    const auto* const text = value == nullptr ? nullptr : std::get_if<std::string_view>(value);
    return text == nullptr ? std::nullopt : std::optional(*text);
  }
  /// A whole number of the metadata, not below 0, or nothing.
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view key) const noexcept {
    const GgufValue* const value = find(key);
    if (value == nullptr) return {};
    if (const auto* const number = std::get_if<std::uint64_t>(value)) return *number;
    const auto* const number = std::get_if<std::int64_t>(value);
    return number == nullptr || *number < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(*number));
  }
};

namespace detail {

/// The types of ggml; 4, 5 and the missing ones were removed.
struct GgufType {
  std::uint32_t number;
  std::string_view name;
  std::optional<DType> dtype;  ///< nothing: not supported
};
inline constexpr GgufType gguf_types[] = {
    {0, "F32", DType::f32},
    {1, "F16", DType::f16},
    {2, "Q4_0", DType::q4_0},
    {3, "Q4_1", DType::q4_1},
    {6, "Q5_0", DType::q5_0},
    {7, "Q5_1", DType::q5_1},
    {8, "Q8_0", DType::q8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", {}},
    {11, "Q3_K", {}},
    {12, "Q4_K", DType::q4_k},
    {13, "Q5_K", DType::q5_k},
    {14, "Q6_K", DType::q6_k},
    {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},
    {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},
    {19, "IQ1_S", {}},
    {20, "IQ4_NL", DType::iq4_nl},
    {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},
    {23, "IQ4_XS", {}},
    {24, "I8", DType::i8},
    {25, "I16", DType::i16},
    {26, "I32", DType::i32},
    {27, "I64", DType::i64},
    {28, "F64", DType::f64},
    {29, "IQ1_M", {}},
    {30, "BF16", DType::bf16},
    {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},
    {39, "MXFP4", {}},
};

class GgufReader {
public:
  explicit GgufReader(std::shared_ptr<const MappedFile> file)
      : file_(std::move(file)), reader_(file_->path(), "GGUF file", file_->bytes()) {}

  [[nodiscard]] GgufFile read() {
    if (reader_.text(4) != "GGUF") fail("wrong magic number", "GGUF", "something else");
    const auto version = reader_.read<std::uint32_t>();
    const bool is_swapped = version == 0x02000000 || version == 0x03000000;
    if (version != 2 && version != 3) {
      fail(is_swapped ? "is big-endian" : "unknown version", "2 or 3", std::to_string(version));
    }
    const auto n_tensors = reader_.read<std::uint64_t>(), n_values = reader_.read<std::uint64_t>();
    GgufFile result{Checkpoint(file_->path()), {}};
    // Each takes some bytes, so a number that lies ends with the file.
    for (std::uint64_t i = 0; i < n_values; ++i) read_entry(result);
    std::vector<Info> infos;
    for (std::uint64_t i = 0; i < n_tensors; ++i) infos.push_back(read_info());
    const std::uint64_t alignment = alignment_of(result), begin = reader_.position();
    reader_.take(begin % alignment == 0 ? 0 : alignment - begin % alignment);
    for (Info& info : infos) add(result.tensors, info, alignment);
    return result;
  }

private:
  struct Info {
    std::string name;
    Shape shape;
    const GgufType* type;
    std::uint64_t offset;
  };

  [[noreturn]] void fail(std::string_view problem, std::string_view expected, std::string_view found) const {
    throw FormatError({file_->path(), reader_.item(), problem, expected, found});
  }

  [[nodiscard]] std::string_view read_text() { return reader_.text(reader_.read<std::uint64_t>()); }

  void read_entry(GgufFile& result) {
    constexpr std::size_t most = 10'000;  // files have a few dozen; more would make find() slow
    const std::string_view key = read_text();
    if (result.metadata.size() == most) fail("more than 10000 values in the metadata", "", "");
    if (result.find(key) != nullptr) fail("a key of the metadata occurs twice", "", in_quotes(key));
    result.metadata.emplace_back(key, read_value(reader_.read<std::uint32_t>()));
  }

  [[nodiscard]] GgufValue read_value(std::uint32_t type) {
    switch (type) {
      case 0: return std::uint64_t{reader_.read<std::uint8_t>()};
      case 1: return std::int64_t{reader_.read<std::int8_t>()};
      case 2: return std::uint64_t{reader_.read<std::uint16_t>()};
      case 3: return std::int64_t{reader_.read<std::int16_t>()};
      case 4: return std::uint64_t{reader_.read<std::uint32_t>()};
      case 5: return std::int64_t{reader_.read<std::int32_t>()};
      case 6: return double{reader_.read<float>()};
      case 7: return reader_.read<std::uint8_t>() != 0;
      case 8: return read_text();
      case 9: return read_array(0);
      case 10: return reader_.read<std::uint64_t>();
      case 11: return reader_.read<std::int64_t>();
      case 12: return reader_.read<double>();
      default: fail("unknown type in the metadata", "0 to 12", std::to_string(type));
    }
  }

  [[nodiscard]] GgufArray read_array(int depth) {
    constexpr std::uint64_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};  // 0: each has its own
    constexpr int most = 4;
    const auto type = reader_.read<std::uint32_t>();
    const auto size = reader_.read<std::uint64_t>();
    if (type >= std::size(sizes)) fail("unknown type in the metadata", "0 to 12", std::to_string(type));
    if (depth == most) fail("arrays in arrays, too deep", "at most 4", "more");
    const std::span<const std::byte> begin = reader_.rest();
    if (sizes[type] > 0) {
      const std::uint64_t n = size > begin.size() ? begin.size() + 1 : size * sizes[type];  // or it might overflow
      reader_.take(n);
    } else {
      for (std::uint64_t i = 0; i < size; ++i) {
        if (type == 8) {
          static_cast<void>(read_text());
        } else {
          static_cast<void>(read_array(depth + 1));
        }
      }
    }
    return {type, size, begin.first(begin.size() - reader_.rest().size())};
  }

  [[nodiscard]] Info read_info() {
    Info result{std::string(read_text()), {}, nullptr, 0};
    const std::string item = tensor_item(result.name);
    const auto refuse = [&](std::string_view problem, std::string_view expected, std::string_view found) {
      throw FormatError({file_->path(), item, problem, expected, found});
    };
    const auto rank = reader_.read<std::uint32_t>();
    if (rank < 1 || rank > 4) refuse("impossible number of dimensions", "1 to 4", std::to_string(rank));
    std::array<Index, 4> dims{};  // the fastest comes first
    for (std::uint32_t i = rank; i-- > 0;) {
      const auto dim = reader_.read<std::uint64_t>();
      if (dim < 1 || dim > std::uint64_t{1} << 62) refuse("impossible dimension", "at least 1", std::to_string(dim));
      dims[i] = static_cast<Index>(dim);
    }
    result.shape = Shape(std::span<const Index>(dims).first(rank));
    const auto type = reader_.read<std::uint32_t>();
    for (const GgufType& each : gguf_types) {
      if (each.number == type) result.type = &each;
    }
    if (result.type == nullptr) refuse("unknown or removed data type", "", std::to_string(type));
    result.offset = reader_.read<std::uint64_t>();
    return result;
  }

  [[nodiscard]] std::uint64_t alignment_of(const GgufFile& file) const {
    constexpr std::string_view key = "general.alignment";
    if (file.find(key) == nullptr) return 32;
    const std::uint64_t alignment = file.number(key).value_or(0);
    if (!std::has_single_bit(alignment)) fail("general.alignment", "a power of two", "something else");
    return alignment;
  }

  void add(Checkpoint& checkpoint, Info& tensor, std::uint64_t alignment) const {
    if (!tensor.type->dtype) refuse_type(file_->path(), tensor.name, tensor.type->name);
    const std::span<const std::byte> data = reader_.rest();
    if (tensor.offset % alignment != 0 || tensor.offset > data.size()) {
      throw FormatError({file_->path(), tensor_item(tensor.name), "begins at an impossible place",
                         "a multiple of " + std::to_string(alignment) + " up to " + std::to_string(data.size()),
                         std::to_string(tensor.offset)});
    }
    const TensorView view = tensor_in_file(file_, tensor.name, tensor.type->name, *tensor.type->dtype, tensor.shape,
                                           data.subspan(static_cast<std::size_t>(tensor.offset)));
    checkpoint.add(std::move(tensor.name), view);
  }

  std::shared_ptr<const MappedFile> file_;
  ByteReader reader_;
};

}  // namespace detail

/// Reads a GGUF file of any program; its tensors stay in the mapped file.
/// Throws FormatError if it is damaged, UnsupportedError for types that the kernels do not know.
[[nodiscard]] inline GgufFile read_gguf_file(std::shared_ptr<const MappedFile> file) {
  return detail::GgufReader(std::move(file)).read();
}

RWKV_NAMESPACE_END
