// SPDX-License-Identifier: MIT
// PyTorch checkpoints, as torch.save of a dictionary of tensors makes them (torch/serialization.py, zip form).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/io/metadata.hpp"
#include "rwkv/io/planned_output.hpp"
#include "rwkv/io/planned_tensor.hpp"
#include "rwkv/io/torch_tensors.hpp"
#include "rwkv/io/zip_write.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The pickle of a dictionary of tensors, with the opcodes of protocol 2 (Python, Lib/pickletools.py). Each tensor has
/// a storage of its own, whose key is its number.
class TorchPickle {
public:
  /// Throws UnsupportedError for types that PyTorch has not, ArgumentError for names that are not UTF-8.
  [[nodiscard]] static std::string dictionary(const std::string& path, const std::vector<PlannedTensor>& tensors) {
    TorchPickle pickle;
    pickle.bytes_ = "\x80\x02}(";  // protocol 2, an empty dictionary, and what to put into it
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      check_utf8_name(path, tensors[i]);
      pickle.text(tensors[i].name);
      pickle.tensor(path, tensors[i], std::to_string(i));
    }
    return pickle.bytes_ + "u.";  // set the items, end
  }

private:
  /// _rebuild_tensor_v2(('storage', class, key, 'cpu', n), offset 0, shape, strides, no gradient, no hooks)
  void tensor(const std::string& path, const PlannedTensor& tensor, const std::string& key) {
    const Shape& shape = tensor.shape;
    std::array<Index, Shape::max_rank> strides{};
    for (Index axis = shape.rank(), stride = 1; axis-- > 0; stride *= shape[axis]) {
      strides[static_cast<std::size_t>(axis)] = stride;
    }
    global("torch._utils._rebuild_tensor_v2");
    bytes_ += "((";
    text("storage");
    const auto storage = torch_storage_name(tensor.dtype);
    if (!storage) refuse_stored_type(path, tensor, "PyTorch");
    global(*storage);
    text(key);
    text("cpu");
    number(shape.checked_n_elements().value_or(0));
    bytes_ += "tQ";  // the tuple is the id of an object outside
    number(0);
    tuple({shape.begin(), shape.end()});
    tuple(std::span<const Index>(strides).first(static_cast<std::size_t>(shape.rank())));
    bytes_ += "\x89";
    global("collections.OrderedDict");
    bytes_ += ")RtR";
  }

  void tuple(std::span<const Index> values) {
    bytes_ += "(";
    for (const Index value : values) number(value);
    bytes_ += "t";
  }
  void number(Index value) {
    const bool is_small = value <= 0x7fffffff;
    bytes_ += is_small ? "J" : "\x8a\x08";  // 4 bytes, or as many as said
    put(static_cast<std::uint64_t>(value), is_small ? 4 : 8);
  }
  void text(std::string_view value) {
    bytes_ += "X";
    put(value.size(), 4);
    bytes_ += value;
  }
  void global(std::string_view name) {  // "module.name"
    const std::size_t dot = name.rfind('.');
    bytes_ += "c" + std::string(name.substr(0, dot)) + "\n" + std::string(name.substr(dot + 1)) + "\n";
  }
  void put(std::uint64_t value, std::size_t n_bytes) {
    const auto bytes = std::bit_cast<std::array<char, sizeof(value)>>(value);
    bytes_.append(bytes.data(), n_bytes);
  }

  std::string bytes_;
};

}  // namespace detail

/// Writes a `.pth` that torch.load reads, also with weights_only=True. The same plan gives the same bytes; the file
/// appears when it is complete. Metadata goes into a record of its own, `rwkv.json`, which PyTorch passes over.
///
/// Throws IoError if the file cannot be written; UnsupportedError for blocks, which PyTorch has not; ArgumentError if a
/// name is not UTF-8.
inline void write_pth(const PlannedFile& plan, const std::string& path, WriteProgress progress = no_progress) {
  const std::string root = "archive/", pickle = detail::TorchPickle::dictionary(path, plan.tensors);
  ZipWriter zip(path);
  zip.add(root + "data.pkl", pickle);
  zip.add(root + "byteorder", "little");
  if (!plan.metadata.empty())
    zip.add(root + std::string(detail::torch_metadata_record), detail::to_json(plan.metadata));
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    zip.add(root + "data/" + std::to_string(i), [&](FunctionRef<void(std::span<const std::byte>)> write) {
      detail::write_planned(plan.tensors[i], progress, write);
    });
  }
  zip.add(root + "version", "3\n");
  zip.commit();
}

RWKV_NAMESPACE_END
