// SPDX-License-Identifier: MIT
// safetensors: the length of a JSON header, the header, the data (github.com/huggingface/safetensors, "Format").
#pragma once

#include <memory>
#include <string>

#include "rwkv/core/linkage.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/planned_tensor.hpp"

RWKV_NAMESPACE_BEGIN

/// Reads a safetensors file. The tensors stay in the mapped file, at any alignment.
///
/// Bytes that belong to no tensor are let be: the format forbids them, but they do no harm, and a model that lost a
/// tensor is better refused with the name of the tensor.
/// Throws FormatError unless the header is JSON of exactly the documented form, without duplicate keys, and the tensors
/// lie in the file without overlaps; UnsupportedError for the types U16, U32, U64 and F8.
[[nodiscard]] RWKV_API Checkpoint read_safetensors(std::shared_ptr<const MappedFile> file);

/// Writes the tensors and the metadata. The same plan gives the same bytes; the file appears when it is complete.
///
/// The header lists the tensors in their order; every tensor is aligned to its type.
/// Throws IoError if the file cannot be written; ArgumentError if a name is not UTF-8 or is "__metadata__";
/// UnsupportedError for types that safetensors does not have. Metadata that is not UTF-8 is written with U+FFFD in it.
RWKV_API void write_safetensors(const PlannedFile& plan, const std::string& path, WriteProgress progress = no_progress);

/// The same for tensors that are there.
RWKV_API void write_safetensors(const Checkpoint& checkpoint, const std::string& path);

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/json.hpp"
#include "rwkv/core/sorted_order.hpp"
#include "rwkv/core/utf8.hpp"
#include "rwkv/io/atomic_file.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/planned_output.hpp"
#include "rwkv/io/safetensors_header.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

inline constexpr std::pair<std::string_view, DType> safetensors_dtypes[] = {
    {"F32", DType::f32}, {"F16", DType::f16}, {"BF16", DType::bf16}, {"F64", DType::f64}, {"I64", DType::i64},
    {"I32", DType::i32}, {"I16", DType::i16}, {"I8", DType::i8},     {"U8", DType::u8},   {"BOOL", DType::boolean},
};

[[nodiscard]] inline DType parse_safetensors_dtype(const std::string& path, const SafetensorsEntry& entry) {
  for (const auto& [name, dtype] : safetensors_dtypes) {
    if (name == entry.dtype) return dtype;
  }
  for (const std::string_view known : {"U16", "U32", "U64", "F8_E4M3", "F8_E5M2"}) {
    if (known == entry.dtype) {
      throw UnsupportedError({.path = path, .item = tensor_item(entry.name), .problem = "dtype " + entry.dtype});
    }
  }
  throw FormatError(
      {.path = path, .item = tensor_item(entry.name), .problem = "unknown dtype", .found = in_quotes(entry.dtype)});
}

/// The tensor of an entry. Throws FormatError unless it lies in the data and its shape takes exactly its bytes.
[[nodiscard]] inline TensorView make_safetensors_view(const std::shared_ptr<const MappedFile>& file,
                                                      const SafetensorsEntry& entry, std::span<const std::byte> data) {
  const auto fail = [&](std::string_view problem, std::string_view expected, std::string_view found) {
    throw FormatError({file->path(), tensor_item(entry.name), problem, expected, found});
  };
  const DType dtype = parse_safetensors_dtype(file->path(), entry);
  const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1];
  if (begin > end || end > data.size()) {
    fail("data_offsets reach out of the data", "at most " + std::to_string(data.size()),
         "[" + std::to_string(begin) + ", " + std::to_string(end) + "]");
  }
  std::vector<Index> dims;
  for (const std::uint64_t dim : entry.shape) {
    // More than fits becomes negative, which is no shape either.
    dims.push_back(dim > std::numeric_limits<Index>::max() ? Index{-1} : static_cast<Index>(dim));
  }
  const Shape shape{std::span<const Index>(dims)};
  const auto n_bytes = checked_n_bytes(dtype, shape);
  if (!n_bytes || static_cast<std::uint64_t>(*n_bytes) != end - begin) {
    fail("shape and data_offsets disagree",
         n_bytes ? std::to_string(*n_bytes) + " bytes for " + to_string(shape) : "a possible shape",
         std::to_string(end - begin) + " bytes");
  }
  return {dtype, shape, data.data() + begin, file};
}

/// Throws FormatError if two tensors overlap.
inline void check_safetensors_overlaps(const std::string& path, const std::vector<SafetensorsEntry>& entries) {
  const auto is_before = [&](std::size_t a, std::size_t b) {
    const auto &left = entries[a].offsets, &right = entries[b].offsets;
    return left[0] != right[0] ? left[0] < right[0] : left[1] < right[1];
  };
  std::uint64_t end = 0;
  for (const std::size_t i : sorted_order(entries.size(), is_before)) {
    const SafetensorsEntry& entry = entries[i];
    if (entry.offsets[0] < end) {
      throw FormatError({.path = path,
                         .item = tensor_item(entry.name),
                         .problem = "overlaps another tensor",
                         .expected = "data at offset " + std::to_string(end) + " or later",
                         .found = std::to_string(entry.offsets[0])});
    }
    end = entry.offsets[1];
  }
}

/// Where the data of each tensor goes: the ones of wide types first, so that every tensor is aligned to its type.
struct SafetensorsLayout {
  explicit SafetensorsLayout(const std::vector<PlannedTensor>& tensors)
      : order(sorted_order(tensors.size(),
                           [&](std::size_t a, std::size_t b) {
                             return info(tensors[a].dtype).block_bytes > info(tensors[b].dtype).block_bytes;
                           })),
        offsets(tensors.size()) {
    Index end = 0;
    for (const std::size_t i : order) {
      offsets[i] = end;
      end += tensors[i].n_bytes();
    }
  }

  std::vector<std::size_t> order;  ///< of the tensors in the data
  std::vector<Index> offsets;      ///< of tensor i
};

/// "\"name\":{...}" for the header. Throws ArgumentError or UnsupportedError if the header cannot say it.
[[nodiscard]] inline std::string safetensors_entry(const std::string& path, const PlannedTensor& tensor, Index begin) {
  const std::string& name = tensor.name;
  if (name == "__metadata__") throw ArgumentError({.path = path, .item = tensor_item(name), .problem = "is reserved"});
  const auto dtype = std::find_if(std::begin(safetensors_dtypes), std::end(safetensors_dtypes),
                                  [&tensor](const auto& each) { return each.second == tensor.dtype; });
  if (dtype == std::end(safetensors_dtypes)) refuse_stored_type(path, tensor, "safetensors");
  check_utf8_name(path, tensor);
  return json_string(name) + ":{\"dtype\":\"" + std::string(dtype->first) + "\",\"shape\":" + to_string(tensor.shape) +
         ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(begin + tensor.n_bytes()) + "]}";
}

}  // namespace detail

RWKV_API Checkpoint read_safetensors(std::shared_ptr<const MappedFile> file) {
  constexpr std::uint64_t max_header = 100'000'000;
  ByteReader reader(file->path(), "safetensors header", file->bytes());
  const auto length = reader.read<std::uint64_t>();
  if (length > std::min<std::uint64_t>(reader.rest().size(), max_header)) {
    throw FormatError({.path = file->path(),
                       .item = "safetensors header",
                       .problem = "is longer than the file or than 100 MB",
                       .expected = "at most " + std::to_string(reader.rest().size()) + " bytes",
                       .found = std::to_string(length),
                       .hint = "Was the file cut short?"});
  }
  detail::SafetensorsHeader header = detail::parse_safetensors_header(file->path(), reader.text(length));
  Checkpoint checkpoint(file->path());
  checkpoint.metadata() = std::move(header.metadata);
  for (const detail::SafetensorsEntry& entry : header.entries) {
    checkpoint.add(entry.name, detail::make_safetensors_view(file, entry, reader.rest()));
  }
  detail::check_safetensors_overlaps(file->path(), header.entries);
  return checkpoint;
}

RWKV_API void write_safetensors(const PlannedFile& plan, const std::string& path, WriteProgress progress) {
  const detail::SafetensorsLayout layout(plan.tensors);
  std::string header = "{";
  if (!plan.metadata.empty()) header += "\"__metadata__\":" + detail::to_json(plan.metadata);
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    if (header.size() > 1) header += ",";
    header += detail::safetensors_entry(path, plan.tensors[i], layout.offsets[i]);
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');

  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const std::size_t i : layout.order) detail::write_planned(plan.tensors[i], progress, file);
  file.commit();
}

RWKV_API void write_safetensors(const Checkpoint& checkpoint, const std::string& path) {
  write_safetensors(planned(checkpoint), path);
}

RWKV_NAMESPACE_END
#endif
