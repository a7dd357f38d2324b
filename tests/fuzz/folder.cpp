// SPDX-License-Identifier: MIT
// A folder with a model in two shards of Hugging Face: the input is its index, a zero byte, and its config.json.
#include <filesystem>
#include <fstream>

#include "fuzz.hpp"

namespace {

namespace fs = std::filesystem;

/// A folder with the shards, gone when the fuzzer ends.
class Folder {
public:
  Folder() : path_(fs::path(memory) / ("rwkv-fuzz-" + std::to_string(::getpid()))) {
    fs::copy(RWKV_TEST_FIXTURES "/hugging-face/rwkv4", path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  [[nodiscard]] std::string path() const { return path_.string(); }
  void write(const char* name, std::string_view text) const { std::ofstream(path_ / name, std::ios::binary) << text; }

private:
  static constexpr const char* memory = "/dev/shm";  // disks are slow in writing over an old file

  fs::path path_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  const std::string_view text = rwkv_fuzz::text_of(data, size), index = text.substr(0, text.find('\0'));
  folder.write("model.safetensors.index.json", index);
  folder.write("config.json", text.substr(std::min(index.size() + 1, text.size())));
  return rwkv_fuzz::only_errors([&] { rwkv_fuzz::touch(rwkv::open_checkpoint(folder.path())); });
}
