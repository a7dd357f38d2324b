// SPDX-License-Identifier: MIT
// The bytes of a file, mapped into memory, read-only: its pages are loaded when touched, shared between processes, and
// no copy exists.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

/// A mapped regular file. The file must not be shortened while it is mapped: the operating system answers reads past
/// its new end with SIGBUS.
class MappedFile {
public:
  /// Throws IoError if there is no such file, if it cannot be read, or if it is a directory or a device.
  explicit MappedFile(std::string path) : path_(std::move(path)) {
    if (path_.empty()) throw IoError({.problem = "cannot open", .found = "an empty file name"});
    const Descriptor file{::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.number < 0) fail("cannot open");
    struct stat status {};
    if (::fstat(file.number, &status) != 0) fail("cannot read its size");
    if (S_ISDIR(status.st_mode)) throw IoError({.path = path_, .expected = "a file", .found = "a directory"});
    if (!S_ISREG(status.st_mode)) {
      throw IoError({.path = path_, .expected = "a regular file", .found = "a device or a pipe"});
    }
    if (status.st_size == 0) return;
    size_ = static_cast<std::size_t>(status.st_size);
    void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.number, 0);
    if (address == MAP_FAILED) fail("cannot map into memory");
    data_ = static_cast<const std::byte*>(address);
    is_mapped_ = true;
  }
  /// A file that is in memory already, such as a resource of the program: nothing is mapped. The bytes must outlive all
  /// that is made of them; `name` stands for the path.
  MappedFile(std::span<const std::byte> bytes, std::string name)
      : path_(std::move(name)), data_(bytes.data()), size_(bytes.size()) {}
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() {
    if (is_mapped_) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  /// Where it was mapped, page-aligned: alignments inside the file are alignments in memory. Empty for an empty file.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
  };

  [[noreturn]] void fail(const char* what) const {
    const int error = errno;  // before anything else can change it
    throw IoError({.path = path_, .problem = std::string(what) + ": " + std::strerror(error)});
  }

  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool is_mapped_ = false;
};

RWKV_NAMESPACE_END
