// SPDX-License-Identifier: MIT
// What every reader returns and every writer takes: named tensors. Knows files, never models.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

/// The key of the metadata under which a checkpoint tells the epsilon of its normalisation of heads, a number as text,
/// where that is not the usual one.
inline constexpr std::string_view group_norm_eps_key = "group_norm_eps";

/// Named tensors in the order of their file, with the names of the official `.pth` checkpoints whatever the format.
///
/// The tensors are views: where the file allows it they point into its mapping, which lives as long as any of them.
class Checkpoint {
public:
  /// A tensor and its name, as in the official files.
  struct Entry {
    std::string name;
    TensorView tensor;
  };

  Checkpoint() = default;
  /// `path` is what messages call the source; it need not be a file.
  explicit Checkpoint(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }

  /// Free text that came with the file (safetensors `__metadata__`), and what group_norm_eps_key says.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  [[nodiscard]] std::map<std::string, std::string>& metadata() noexcept { return metadata_; }

  /// Far more than any model has. Without it, a hostile file of a few bytes per tensor would take much more memory.
  static constexpr std::size_t max_tensors = 100'000;

  static constexpr std::size_t max_name = 1024;

  /// Throws FormatError if there is a tensor of that name already, if the name is longer than max_name, or if there are
  /// max_tensors.
  void add(std::string name, TensorView tensor) {
    if (entries_.size() == max_tensors) {
      throw FormatError({.path = path_, .problem = "more than " + std::to_string(max_tensors) + " tensors"});
    }
    if (name.size() > max_name) {
      throw FormatError({.path = path_,
                         .item = tensor_item(name),
                         .expected = "a name of at most " + std::to_string(max_name) + " bytes",
                         .found = std::to_string(name.size())});
    }
    if (!positions_.emplace(name, entries_.size()).second) {
      throw FormatError({.path = path_, .item = tensor_item(name), .problem = "the name occurs twice"});
    }
    entries_.push_back({std::move(name), std::move(tensor)});
  }

  /// The tensor of that name, or null.
  [[nodiscard]] const TensorView* find(std::string_view name) const {
    const auto position = positions_.find(std::string(name));
    return position == positions_.end() ? nullptr : &entries_[position->second].tensor;
  }

  [[nodiscard]] bool contains(std::string_view name) const { return find(name) != nullptr; }

  /// The tensor of that name. Throws ModelError if there is none.
  [[nodiscard]] const TensorView& at(std::string_view name) const {
    if (const TensorView* tensor = find(name)) return *tensor;
    throw ModelError({.path = path_, .item = tensor_item(name), .problem = "is missing"});
  }

  /// The checkpoint with every entry replaced by what `change` makes of it: Entry(Entry).
  /// Throws FormatError as `add` does.
  [[nodiscard]] Checkpoint transformed(FunctionRef<Entry(Entry)> change) const {
    Checkpoint result(path_);
    result.metadata_ = metadata_;
    for (const Entry& entry : entries_) {
      Entry changed = change(entry);
      result.add(std::move(changed.name), std::move(changed.tensor));
    }
    return result;
  }

private:
  std::string path_;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> positions_;
  std::map<std::string, std::string> metadata_;
};

/// "3 tensors, the first of them 'emb.weight'": what was found instead of something else.
[[nodiscard]] inline std::string summary(const Checkpoint& checkpoint) {
  const auto& entries = checkpoint.entries();
  if (entries.empty()) return "no tensors";
  return std::to_string(entries.size()) + " tensors, the first of them " + in_quotes(entries.front().name);
}

/// How a file is read.
struct OpenOptions {
  /// Compare the CRC-32 of every record of a `.pth` with its data. This reads the whole file once; turn it off to start
  /// sooner, or for files written with `torch.serialization.set_crc32_options(False)`.
  bool verify_checksums = true;

  /// Told how many bytes of a file were compared, and of how many: by one thread at a time, but not always the one that
  /// opens. What it throws ends the opening.
  std::function<void(Index n_done, Index n_total)> progress{};

  /// Read the tensors of a `.pth` that holds a whole module, as `torch.save(model)` writes it. Its classes are names
  /// only: nothing is imported or run.
  bool allow_pickled_modules = true;
};

RWKV_NAMESPACE_END
