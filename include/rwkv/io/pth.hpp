// SPDX-License-Identifier: MIT
// PyTorch checkpoints (`.pth`, `.pt`, `.ckpt`, `pytorch_model.bin`): the zip form since PyTorch 1.6, and the older one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/core/thread_pool.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/metadata.hpp"
#include "rwkv/io/pickle.hpp"
#include "rwkv/io/torch_tensors.hpp"
#include "rwkv/io/zip.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// A pickle of the integer 0x1950a86a20f9469cfc6c, as all legacy checkpoints begin.
inline constexpr std::string_view legacy_pth_magic{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15};

/// The folder of the checkpoint in the archive, with its slash: that of the only ROOT/data.pkl.
[[nodiscard]] inline std::string_view find_pth_root(const std::string& path, const ZipArchive& archive) {
  constexpr std::string_view file_name = "/data.pkl";
  std::string_view root;
  for (const ZipEntry& entry : archive.entries()) {
    if (!entry.name.ends_with(file_name) || entry.name.find('/') != entry.name.size() - file_name.size()) continue;
    if (!root.empty()) {
      throw FormatError({.path = path,
                         .problem = "two checkpoints in one file",
                         .found = in_quotes(std::string(root) + "data.pkl") + " and " + in_quotes(entry.name)});
    }
    root = entry.name.substr(0, entry.name.size() - file_name.size() + 1);
  }
  if (root.empty()) {
    throw FormatError({.path = path, .problem = "a zip file, but not a PyTorch checkpoint: it has no data.pkl"});
  }
  if (archive.find(std::string(root) + "constants.pkl") != nullptr) {
    throw UnsupportedError({.path = path,
                            .problem = "a TorchScript program, not a checkpoint",
                            .hint = "Save model.state_dict() instead."});
  }
  return root;
}

/// Compares the checksums of all entries of a folder: on all processors, as that takes longer than all the rest.
/// Throws FormatError for one that is damaged, and what progress(done, all) throws.
inline void verify_entries(const ZipArchive& archive, std::string_view root,
                           const std::function<void(Index, Index)>& progress) {
  constexpr std::uint64_t worth_a_thread = 4'000'000;  // bytes
  std::vector<const ZipEntry*> entries;
  std::uint64_t n_bytes = 0;
  for (const ZipEntry& entry : archive.entries()) {
    if (!entry.name.starts_with(root)) continue;
    entries.push_back(&entry);
    n_bytes += entry.data.size();
  }
  const std::uint64_t n_threads =
      std::min<std::uint64_t>(static_cast<std::uint64_t>(n_processors()), n_bytes / worth_a_thread);
  ThreadPool threads(static_cast<int>(std::clamp<std::uint64_t>(n_threads, 1, ThreadPool::max_threads)));
  std::mutex mutex;
  Index n_done = 0;
  threads.run(static_cast<Index>(entries.size()), [&](Index i, int) {
    const ZipEntry& entry = *entries[static_cast<std::size_t>(i)];
    archive.verify(entry);
    if (!progress) return;
    const std::scoped_lock lock(mutex);
    n_done += std::ssize(entry.data);
    progress(n_done, static_cast<Index>(n_bytes));
  });
}

[[nodiscard]] inline Checkpoint read_pth_zip(const std::shared_ptr<const MappedFile>& file,
                                             const OpenOptions& options) {
  const ZipArchive archive(file->path(), file->bytes());
  const std::string root(find_pth_root(file->path(), archive));
  if (options.verify_checksums) verify_entries(archive, root, options.progress);
  if (const ZipEntry* entry = archive.find(root + "byteorder")) {
    if (const std::string_view order = as_text(archive.stored(*entry)); order != "little") {
      throw UnsupportedError({.path = file->path(),
                              .item = "byteorder",
                              .expected = "'little'",
                              .found = in_quotes(order),
                              .hint = "Save the file again on a little-endian machine."});
    }
  }

  const ZipEntry& pickle = *archive.find(root + "data.pkl");
  ByteReader input(file->path(), "data.pkl", archive.stored(pickle));
  const PickleGraph graph = read_pickle(input, torch_globals, max_pickle_bytes(*file), options.allow_pickled_modules);
  const auto find_storage = [&](std::string_view key) -> std::optional<std::span<const std::byte>> {
    const ZipEntry* const entry = archive.find(root + "data/" + std::string(key));
    if (entry == nullptr) return std::nullopt;
    return archive.stored(*entry);
  };
  Checkpoint checkpoint = TorchTensors(file, graph, find_storage).read();
  if (const ZipEntry* entry = archive.find(root + std::string(torch_metadata_record))) {
    JsonReader json(file->path(), std::string(torch_metadata_record), as_text(archive.stored(*entry)));
    checkpoint.metadata() = parse_metadata(json, file->path(), torch_metadata_record);
    json.end();
  }
  return checkpoint;
}

/// Throws FormatError unless the third pickle says that the numbers are little-endian.
inline void check_legacy_system(const std::string& path, const PickleGraph& system) {
  const auto* const dict = system.get<PickleDict>(system.top);
  for (std::size_t i = 0; dict != nullptr && i + 1 < dict->items.size(); i += 2) {
    const auto* const key = system.get<std::string_view>(dict->items[i]);
    const auto* const is_little = system.get<bool>(dict->items[i + 1]);
    if (key != nullptr && *key == "little_endian" && is_little != nullptr && *is_little) return;
  }
  throw FormatError({.path = path, .item = "system information", .expected = "'little_endian': True"});
}

using LegacyStorages = std::map<std::string_view, std::span<const std::byte>>;

/// The storages behind the pickles: each is its number of elements and then its data, in the order of the keys.
[[nodiscard]] inline LegacyStorages read_legacy_storages(const std::string& path, const PickleGraph& graph,
                                                         const PickleGraph& key_graph, ByteReader& input) {
  // The data does not tell its type: that is in the object.
  std::map<std::string_view, TorchStorage> declared;
  for (const PickleValue& value : graph.values) {
    const auto* const persistent = std::get_if<PicklePersistent>(&value);
    if (persistent == nullptr) continue;
    const TorchStorage storage = parse_torch_storage(path, "", graph, *persistent);
    declared.emplace(storage.key, storage);
  }
  LegacyStorages found;
  const auto* const keys = key_graph.get<PickleList>(key_graph.top);
  if (keys == nullptr) throw FormatError({.path = path, .item = "fifth pickle", .expected = "a list of storages"});
  for (const PickleRef ref : keys->items) {
    const auto* const key = key_graph.get<std::string_view>(ref);
    const auto storage = key == nullptr ? declared.end() : declared.find(*key);
    if (storage == declared.end()) {
      throw FormatError({.path = path, .item = "list of storages", .problem = "names a storage that no tensor uses"});
    }
    const auto n_elements = input.read<std::int64_t>();
    if (n_elements != storage->second.n_elements) {
      throw FormatError({.path = path,
                         .item = "storage " + in_quotes(*key),
                         .expected = std::to_string(storage->second.n_elements) + " elements",
                         .found = std::to_string(n_elements)});
    }
    found[*key] = input.take(static_cast<std::uint64_t>(storage->second.n_bytes));
  }
  return found;
}

/// The file is five pickles (magic number, protocol, system, object, keys of storages), then the storages.
[[nodiscard]] inline Checkpoint read_pth_legacy(const std::shared_ptr<const MappedFile>& file,
                                                const OpenOptions& options) {
  const std::string& path = file->path();
  const std::uint64_t limit = max_pickle_bytes(*file);
  ByteReader input(path, "legacy checkpoint", file->bytes());
  input.take(legacy_pth_magic.size());
  const PickleGraph protocol = read_pickle(input, {}, limit);
  if (const auto* const version = protocol.get<std::int64_t>(protocol.top); version == nullptr || *version != 1001) {
    throw FormatError({.path = path, .item = "legacy checkpoint", .expected = "protocol version 1001"});
  }
  check_legacy_system(path, read_pickle(input, {}, limit));
  const PickleGraph graph = read_pickle(input, torch_globals, limit, options.allow_pickled_modules);
  const PickleGraph key_graph = read_pickle(input, {}, limit);

  const LegacyStorages storages = read_legacy_storages(path, graph, key_graph, input);
  const auto find_storage = [&](std::string_view key) -> std::optional<std::span<const std::byte>> {
    const auto entry = storages.find(key);
    if (entry == storages.end()) return std::nullopt;
    return entry->second;
  };
  return TorchTensors(file, graph, find_storage).read();
}

}  // namespace detail

/// Reads a PyTorch checkpoint: a dictionary of tensors, also inside the dictionaries that training frameworks write
/// around it; a whole module, under the names of its state_dict(); or a list of tensors, named "0", "1", ... The pickle
/// is read as data; nothing in it runs. Tensors stay in the mapped file, except those with strides that are not
/// row-major, which are copied. Values that are no tensors are left out of dictionaries. Metadata are those of
/// write_pth.
///
/// The formats are those of torch.save in torch/serialization.py (PyTorch 1.6 and later; `_legacy_save` before).
/// Throws FormatError if the file is damaged or hostile, UnsupportedError for TorchScript,
/// compressed entries and big-endian files.
[[nodiscard]] inline Checkpoint read_pth(std::shared_ptr<const MappedFile> file, const OpenOptions& options = {}) {
  const bool is_legacy = as_text(file->bytes()).starts_with(detail::legacy_pth_magic);
  return is_legacy ? detail::read_pth_legacy(file, options) : detail::read_pth_zip(file, options);
}

RWKV_NAMESPACE_END
