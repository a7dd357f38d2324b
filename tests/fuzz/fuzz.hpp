// SPDX-License-Identifier: MIT
// What the fuzzers share. Only a rwkv::Error may leave a reader: whatever else is thrown, std::bad_alloc included, ends
// the fuzzer as a finding.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "rwkv/core/error.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/open.hpp"

namespace rwkv_fuzz {

/// Ends the fuzzer where something is false that must be true of every input.
inline void require(bool is_true) {
  if (!is_true) std::abort();
}

/// Calls read(), which may throw a rwkv::Error; its message must be one line.
template <class Read>
int only_errors(Read&& read) {
  try {
    read();
  } catch (const rwkv::Error& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}
inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Reads a file of any format. Checksums are not compared, or nearly every input would end there.
inline rwkv::Checkpoint open(const std::uint8_t* data, std::size_t size) {
  return rwkv::open_checkpoint(bytes_of(data, size), "input", {.verify_checksums = false});
}

/// Reads every byte of the tensors, so that one outside of the file is noticed.
inline void touch(const rwkv::Checkpoint& checkpoint) {
  unsigned sum = 0;
  for (const auto& [name, tensor] : checkpoint.entries()) {
    for (rwkv::Index i = 0; i < tensor.n_bytes(); ++i) sum += std::to_integer<unsigned>(tensor.data[i]);
  }
  [[maybe_unused]] volatile unsigned sink = sum;
}

/// A file that is in memory and has a path, for what reads files by their names.
class MemoryFile {
public:
  MemoryFile(const std::uint8_t* data, std::size_t size) : file_(::memfd_create("input", MFD_CLOEXEC)) {
    require(file_ >= 0 && ::write(file_, data, size) == static_cast<::ssize_t>(size));
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(file_); }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

private:
  int file_;
};

}  // namespace rwkv_fuzz

/// What libFuzzer calls with every input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
