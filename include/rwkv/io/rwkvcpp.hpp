// SPDX-License-Identifier: MIT
// Model files of rwkv.cpp (magic "ggmf" as a number; docs/FILE_FORMAT.md of RWKV/rwkv.cpp).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/rwkvcpp_official.hpp"
#include "rwkv/io/tensor_in_file.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The numbers of types differ from those of GGUF. 4, 5 and 6 were experiments and are gone.
struct RwkvCppType {
  std::int32_t number;
  std::string_view name;
  std::optional<DType> dtype;  ///< nothing: not supported yet
};
inline constexpr RwkvCppType rwkvcpp_types[] = {
    {0, "F32", DType::f32},    {1, "F16", DType::f16},   {2, "Q4_0", DType::q4_0},  {3, "Q4_1", DType::q4_1},
    {7, "Q5_0", DType::q5_0},  {8, "Q5_1", DType::q5_1}, {9, "Q8_0", DType::q8_0},  {10, "Q8_1", {}},
    {11, "Q2_K", {}},          {12, "Q3_K", {}},         {13, "Q4_K", DType::q4_k}, {14, "Q5_K", DType::q5_k},
    {15, "Q6_K", DType::q6_k}, {16, "Q8_K", {}},
};

/// The type of that number, or null.
[[nodiscard]] constexpr const RwkvCppType* find_rwkvcpp_type(std::int32_t number) noexcept {
  for (const RwkvCppType& type : rwkvcpp_types) {
    if (type.number == number) return &type;
  }
  return nullptr;
}

struct RwkvCppHeader {
  std::int32_t n_vocab, n_embd, n_layer;
};

[[nodiscard]] inline RwkvCppHeader read_rwkvcpp_header(ByteReader& reader) {
  const auto fail = [&reader](std::string_view problem, std::string_view expected, std::int32_t found) {
    throw FormatError({reader.path(), reader.item(), problem, expected, std::to_string(found), ""});
  };
  if (reader.read<std::uint32_t>() != 0x67676d66) fail("wrong magic number", "", 0);
  const auto version = reader.read<std::int32_t>();
  if (version != 100 && version != 101) fail("unknown version", "100 or 101", version);
  const auto n_vocab = reader.read<std::int32_t>();
  const auto n_embd = reader.read<std::int32_t>();
  const auto n_layer = reader.read<std::int32_t>();
  if (n_vocab <= 0) fail("n_vocab", "a positive number", n_vocab);
  if (n_embd <= 0) fail("n_embed", "a positive number", n_embd);
  if (n_layer <= 0) fail("n_layer", "a positive number", n_layer);
  const auto type_number = reader.read<std::int32_t>();
  const RwkvCppType* const type = find_rwkvcpp_type(type_number);
  if (type == nullptr) fail("unknown or removed data type", "", type_number);
  if (version == 100 && (!type->dtype || info(*type->dtype).block_elements > 1)) {
    throw UnsupportedError({.path = reader.path(),
                            .item = reader.item(),
                            .problem = std::string(type->name) + " blocks of version 100 had another layout",
                            .hint = "Quantise the original file again."});
  }
  return {n_vocab, n_embd, n_layer};
}

/// The next tensor: dim_count, key_length, data_type, dims (fastest first), key, data, without alignment.
inline void read_rwkvcpp_tensor(ByteReader& reader, const std::shared_ptr<const MappedFile>& file,
                                Checkpoint& checkpoint) {
  const auto fail = [&](std::string_view item, std::string_view problem, std::string_view expected,
                        std::string_view found) {
    throw FormatError({file->path(), item, problem, expected, found});
  };
  const std::size_t position = reader.position();
  const auto rank = reader.read<std::int32_t>();
  const auto name_length = reader.read<std::int32_t>();
  const auto type_number = reader.read<std::int32_t>();
  if (rank < 1 || rank > 3 || name_length < 1 || name_length > 1024) {
    fail("tensor at byte " + std::to_string(position), "impossible sizes",
         "1 to 3 dimensions, a name of 1 to 1024 bytes", std::to_string(rank) + " and " + std::to_string(name_length));
  }
  std::array<Index, 3> dims{};
  for (std::int32_t i = rank; i-- > 0;) dims[static_cast<std::size_t>(i)] = reader.read<std::int32_t>();
  const Shape shape(std::span<const Index>(dims).first(static_cast<std::size_t>(rank)));
  const std::string name(reader.text(static_cast<std::uint64_t>(name_length)));
  if (std::any_of(shape.begin(), shape.end(), [](Index dim) { return dim < 1; })) {
    fail(tensor_item(name), "impossible shape", "", to_string(shape));
  }
  const RwkvCppType* const type = find_rwkvcpp_type(type_number);
  if (type == nullptr) fail(tensor_item(name), "unknown or removed data type", "", std::to_string(type_number));
  if (!type->dtype) refuse_type(file->path(), name, type->name);
  const TensorView tensor = tensor_in_file(file, name, type->name, *type->dtype, shape, reader.rest());
  reader.take(static_cast<std::uint64_t>(tensor.n_bytes()));
  checkpoint.add(name, tensor);
}

/// Throws FormatError if the header does not describe the tensors.
inline void check_rwkvcpp_header(const RwkvCppHeader& header, const Checkpoint& checkpoint) {
  const auto fail = [&checkpoint](std::string_view name, std::string_view problem, std::string_view expected = {},
                                  std::string_view found = {}) {
    throw FormatError({checkpoint.path(), tensor_item(name), problem, expected, found});
  };
  const TensorView* const embedding = checkpoint.find("emb.weight");
  if (embedding == nullptr) return fail("emb.weight", "is missing");
  if (const Shape expected{header.n_vocab, header.n_embd}; embedding->shape != expected) {
    fail("emb.weight", "does not have the shape of the header", to_string(expected) + " (n_vocab x n_embed)",
         to_string(embedding->shape));
  }
  // Ends at the first layer that is not there, whatever number the header gives.
  const auto name_of = [](std::int32_t layer) { return "blocks." + std::to_string(layer) + ".ln1.weight"; };
  for (std::int32_t layer = 0; layer < header.n_layer; ++layer) {
    if (!checkpoint.contains(name_of(layer))) {
      fail(name_of(layer), "is missing, though the header promises " + std::to_string(header.n_layer) + " layers");
    }
  }
  if (checkpoint.contains(name_of(header.n_layer))) {
    fail(name_of(header.n_layer), "is there, though the header promises " + std::to_string(header.n_layer) + " layers");
  }
}

}  // namespace detail

/// Reads a model file of rwkv.cpp and gives the tensors of the official checkpoint it was made
/// from: what the converter of rwkv.cpp changed is undone. Most tensors stay in the mapped file, at any alignment.
/// Vectors `.time_*` may have lost axes of length 1; decays, and the bonuses of RWKV-5.0, are f64 (see
/// RwkvCppOfficial).
///
/// Throws FormatError if the file is damaged, its header contradicts its tensors, or the converter cannot have made
/// them; UnsupportedError for types that the kernels do not know.
[[nodiscard]] inline Checkpoint read_rwkvcpp(std::shared_ptr<const MappedFile> file) {
  ByteReader reader(file->path(), "rwkv.cpp file", file->bytes());
  const detail::RwkvCppHeader header = detail::read_rwkvcpp_header(reader);
  Checkpoint stored(file->path());
  while (!reader.rest().empty()) detail::read_rwkvcpp_tensor(reader, file, stored);
  detail::check_rwkvcpp_header(header, stored);
  return detail::RwkvCppOfficial(stored).read();
}

RWKV_NAMESPACE_END
