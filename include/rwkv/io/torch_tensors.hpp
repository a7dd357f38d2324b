// SPDX-License-Identifier: MIT
// From the pickle of a PyTorch checkpoint to named tensors, wherever its storages lie.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/pickle.hpp"
#include "rwkv/io/torch_object.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// All that the pickle of a state dict names, and what the pickle of a module names besides its classes.
inline constexpr PickleAllowed torch_globals[] = {
    {"collections.OrderedDict", true},
    {"torch._utils._rebuild_tensor_v2", true},
    {"torch._utils._rebuild_parameter", true},
    {"torch.Size", true},
    {"copy_reg._reconstructor", true},
    {"copyreg._reconstructor", true},
    {"__builtin__.set", true},
    {"builtins.set", true},
    {"__builtin__.object"},
    {"builtins.object"},
    {"torch.FloatStorage"},
    {"torch.HalfStorage"},
    {"torch.BFloat16Storage"},
    {"torch.DoubleStorage"},
    {"torch.LongStorage"},
    {"torch.IntStorage"},
    {"torch.ShortStorage"},
    {"torch.CharStorage"},
    {"torch.ByteStorage"},
    {"torch.BoolStorage"},
};

/// Where our own files keep their metadata: a record that PyTorch does not ask for, a JSON object of texts.
inline constexpr std::string_view torch_metadata_record = "rwkv.json";

inline constexpr std::pair<std::string_view, DType> torch_storages[] = {
    {"torch.FloatStorage", DType::f32},    {"torch.HalfStorage", DType::f16}, {"torch.BFloat16Storage", DType::bf16},
    {"torch.DoubleStorage", DType::f64},   {"torch.LongStorage", DType::i64}, {"torch.IntStorage", DType::i32},
    {"torch.ShortStorage", DType::i16},    {"torch.CharStorage", DType::i8},  {"torch.ByteStorage", DType::u8},
    {"torch.BoolStorage", DType::boolean},
};

[[nodiscard]] constexpr std::optional<DType> torch_storage_dtype(std::string_view global) noexcept {
  for (const auto& [name, dtype] : torch_storages) {
    if (name == global) return dtype;
  }
  return std::nullopt;
}

[[nodiscard]] constexpr std::optional<std::string_view> torch_storage_name(DType dtype) noexcept {
  for (const auto& [name, each] : torch_storages) {
    if (each == dtype) return name;
  }
  return std::nullopt;
}

/// The memory that the graph of a pickle in this file may take. The second part leaves room for small files: a tensor
/// of a few numbers takes 25 values.
[[nodiscard]] inline std::uint64_t max_pickle_bytes(const MappedFile& file) noexcept {
  return 4 * std::uint64_t{file.bytes().size()} + (std::uint64_t{16} << 20);
}

/// Strided elements, copied into row-major order. Strides count elements, and all elements are there; types of blocks
/// have no strides.
[[nodiscard]] inline TensorView gather(DType dtype, const Shape& shape, const Shape& strides, const std::byte* first) {
  const auto buffer = std::make_shared<Buffer<std::byte>>(checked_n_bytes(dtype, shape).value());
  const Index width = info(dtype).block_bytes;
  std::array<Index, Shape::max_rank> position{};
  Index source = 0;
  for (Index i = 0; i < buffer->size(); i += width) {
    std::memcpy(buffer->data() + i, first + source * width, static_cast<std::size_t>(width));
    for (Index axis = shape.rank(); axis-- > 0;) {
      auto& index = position[static_cast<std::size_t>(axis)];
      source += strides[axis];
      if (++index < shape[axis]) break;
      source -= shape[axis] * strides[axis];
      index = 0;
    }
  }
  return {dtype, shape, buffer->data(), buffer};
}

/// A block of numbers as a pickle names it: ('storage', class, key, device, n_elements). The device does not matter.
struct TorchStorage {
  DType dtype;
  std::string_view key;
  Index n_elements;
  Index n_bytes;
};

/// The storage of the tensor `name` (which may be empty). Throws FormatError if the persistent id is not that of a
/// storage, UnsupportedError for views of legacy files.
[[nodiscard]] inline TorchStorage parse_torch_storage(const std::string& path, std::string_view name,
                                                      const PickleGraph& graph, const PicklePersistent& persistent) {
  const auto fail = [&](std::string_view expected) {
    throw FormatError({.path = path,
                       .item = name.empty() ? "a storage" : tensor_item(name),
                       .problem = "malformed persistent id",
                       .expected = expected});
  };
  const auto* const id = graph.get<PickleTuple>(persistent.id);
  if (id == nullptr || id->items.size() < 5 || id->items.size() > 6) fail("a tuple of 5 or 6 values");
  const auto* const kind = graph.get<std::string_view>(id->items[0]);
  const auto* const type = graph.get<PickleGlobal>(id->items[1]);
  const auto* const key = graph.get<std::string_view>(id->items[2]);
  const auto* const n_elements = graph.get<std::int64_t>(id->items[4]);
  if (kind == nullptr || *kind != "storage") fail("'storage' at its start");
  const auto dtype = type == nullptr ? std::nullopt : torch_storage_dtype(type->name);
  if (!dtype) fail("a storage class");
  if (key == nullptr || key->size() > Checkpoint::max_name) fail("a text as key, not longer than names may be");
  const auto n_bytes = n_elements == nullptr ? std::nullopt : checked_multiply(*n_elements, info(*dtype).block_bytes);
  if (!n_bytes) fail("a number of elements");
  if (id->items.size() == 6 && graph.get<PickleNone>(id->items[5]) == nullptr) {
    throw UnsupportedError(
        {.path = path, .item = "storage " + in_quotes(*key), .problem = "is a view of another storage"});
  }
  return {*dtype, *key, *n_elements, *n_bytes};
}

/// The bytes that the file has for a key, or nothing.
using FindStorage = FunctionRef<std::optional<std::span<const std::byte>>(std::string_view)>;

/// Turns the calls of `_rebuild_tensor_v2` in a pickle into tensors. What it is made from must outlive it.
class TorchTensors {
public:
  TorchTensors(std::shared_ptr<const MappedFile> file, const PickleGraph& graph, FindStorage find_storage)
      : file_(std::move(file)), graph_(graph), find_storage_(find_storage) {}

  /// The tensors of the pickled object, in its order.
  /// Throws FormatError if it holds none, or if a tensor does not lie in its storage.
  [[nodiscard]] Checkpoint read() {
    Checkpoint checkpoint(file_->path());
    TorchObject(file_->path(), graph_).for_each_tensor([&](std::string name, const PickleCall& call) {
      TensorView tensor = rebuild(name, call);
      checkpoint.add(std::move(name), std::move(tensor));
    });
    return checkpoint;
  }

private:
  /// _rebuild_tensor_v2(storage, offset, size, stride, ...): offset and strides count elements.
  [[nodiscard]] TensorView rebuild(std::string_view name, const PickleCall& call) {
    const auto& arguments = graph_.get<PickleTuple>(call.arguments)->items;
    if (arguments.size() < 6) fail(name, "malformed tensor", "6 arguments", std::to_string(arguments.size()));
    const auto* const persistent = graph_.get<PicklePersistent>(arguments[0]);
    const auto* const offset = graph_.get<std::int64_t>(arguments[1]);
    if (persistent == nullptr || offset == nullptr) fail(name, "malformed tensor", "a storage and an offset");
    const TorchStorage storage = parse_torch_storage(file_->path(), name, graph_, *persistent);
    const Shape shape = read_integers(name, arguments[2]);
    Shape strides = read_integers(name, arguments[3]);
    if (shape.rank() != strides.rank()) {
      fail(name, "shape and strides differ in length", to_string(shape), to_string(strides));
    }
    const auto n_bytes = checked_n_bytes(storage.dtype, shape);
    if (!n_bytes) fail(name, "impossible shape", "", to_string(shape));
    const std::byte* const data = find_data(name, storage);
    if (*n_bytes == 0) return {storage.dtype, shape, data, file_};

    strides = check_strides(name, storage, *offset, shape, strides);
    justify(name, static_cast<std::uint64_t>(*n_bytes));
    const std::byte* const first = data + *offset * info(storage.dtype).block_bytes;
    if (is_row_major(shape, strides)) return {storage.dtype, shape, first, file_};
    return gather(storage.dtype, shape, strides, first);
  }

  [[nodiscard]] const std::byte* find_data(std::string_view name, const TorchStorage& storage) const {
    const std::optional<std::span<const std::byte>> bytes = find_storage_(storage.key);
    if (!bytes) fail(name, "its storage " + in_quotes(storage.key) + " is missing");
    if (bytes->size() < static_cast<std::size_t>(storage.n_bytes)) {
      fail(name, "its storage " + in_quotes(storage.key) + " is too short", std::to_string(storage.n_bytes) + " bytes",
           std::to_string(bytes->size()));
    }
    return bytes->data();
  }

  [[nodiscard]] Shape read_integers(std::string_view name, PickleRef ref) const {
    const auto* const tuple = graph_.get<PickleTuple>(ref);
    if (tuple == nullptr) fail(name, "malformed tensor", "a tuple of integers");
    if (tuple->items.size() > Shape::max_rank) {
      fail(name, "has too many dimensions", "at most 8", std::to_string(tuple->items.size()));
    }
    std::array<Index, Shape::max_rank> values{};
    for (std::size_t i = 0; i < tuple->items.size(); ++i) {
      const auto* const value = graph_.get<std::int64_t>(tuple->items[i]);
      if (value == nullptr) fail(name, "malformed tensor", "integers of 64 bits as dimensions and strides");
      values[i] = *value;
    }
    return Shape(std::span<const Index>(values).first(tuple->items.size()));
  }

  /// The strides with 0 for the axes of length 1, where they mean nothing, once the last element is known to exist.
  [[nodiscard]] Shape check_strides(std::string_view name, const TorchStorage& storage, Index offset,
                                    const Shape& shape, const Shape& strides) const {
    bool is_inside = offset >= 0 && offset < storage.n_elements;
    Index room = is_inside ? storage.n_elements - 1 - offset : 0;  // elements behind the first one
    std::array<Index, Shape::max_rank> used{};
    for (Index axis = 0; is_inside && axis < shape.rank(); ++axis) {
      const std::optional<Index> extent = checked_multiply(shape[axis] - 1, strides[axis]);
      is_inside = extent && *extent <= room;
      if (is_inside) room -= *extent;
      used[static_cast<std::size_t>(axis)] = shape[axis] == 1 ? 0 : strides[axis];
    }
    if (!is_inside) {
      fail(name, "reaches out of its storage " + in_quotes(storage.key),
           std::to_string(storage.n_elements) + " elements",
           "shape " + to_string(shape) + ", strides " + to_string(strides) + ", offset " + std::to_string(offset));
    }
    return Shape(std::span<const Index>(used).first(static_cast<std::size_t>(shape.rank())));
  }

  [[nodiscard]] static bool is_row_major(const Shape& shape, const Shape& strides) noexcept {
    Index expected = 1;
    for (Index axis = shape.rank(); axis-- > 0; expected *= shape[axis]) {
      if (shape[axis] != 1 && strides[axis] != expected) return false;
    }
    return true;
  }

  /// Tensors of stride 0, and tensors that share their storage, are large without being in the file. Real models share
  /// at most the embedding with the head, so all tensors together have a limit.
  void justify(std::string_view name, std::uint64_t n_bytes) {
    const std::uint64_t limit = 4 * std::uint64_t{file_->bytes().size()} + (std::uint64_t{1} << 20);
    if (n_bytes > limit - justified_bytes_) {
      fail(name, "the tensors are larger than the file justifies", "at most " + std::to_string(limit) + " bytes",
           std::to_string(n_bytes) + " more than " + std::to_string(justified_bytes_));
    }
    justified_bytes_ += n_bytes;
  }

  [[noreturn]] void fail(std::string_view name, std::string_view problem, std::string_view expected = {},
                         std::string_view found = {}) const {
    throw FormatError({file_->path(), tensor_item(name), problem, expected, found});
  }

  std::shared_ptr<const MappedFile> file_;
  const PickleGraph& graph_;
  FindStorage find_storage_;
  std::uint64_t justified_bytes_ = 0;
};

}  // namespace detail

RWKV_NAMESPACE_END
