// SPDX-License-Identifier: MIT
// A file that is written completely or not at all.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

/// Collects a file under a temporary name in the folder of `path`; `commit` puts it in place. What stood there before
/// stays as it was until then, also for those who have it mapped. Without `commit` nothing is left behind.
///
/// All functions throw IoError with the path and the words of the operating system.
class AtomicFile {
public:
  /// Throws IoError also if `path` is empty, or there and no regular file: a device or a link must not be replaced.
  explicit AtomicFile(std::string path) : path_(std::move(path)) {
    if (path_.empty()) throw IoError({.problem = "cannot write", .found = "an empty file name"});
    struct stat status {};
    if (::lstat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
      throw IoError({.path = path_, .problem = "cannot write", .found = "a folder, a link or a device of that name"});
    }
    constexpr int max_attempts = 100;  // names left over by a program that was killed
    for (int attempt = 0; file_ < 0 && attempt < max_attempts; ++attempt) {
      temporary_ = path_ + ".partial-" + std::to_string(::getpid()) + "-" + std::to_string(attempt);
      file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (file_ < 0 && errno != EEXIST) break;
    }
    if (file_ < 0) fail("cannot create");
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (file_ >= 0) ::close(file_);
    if (!is_committed_) ::unlink(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ::ssize_t n = ::write(file_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("cannot write");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Gives the complete file its name. After a crash of the machine either the old or the new file is there.
  void commit() {
    if (::fsync(file_) != 0) fail("cannot write");
    if (::close(std::exchange(file_, -1)) != 0) fail("cannot write");
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot rename the finished file");
    is_committed_ = true;
  }

private:
  [[noreturn]] void fail(std::string_view what) const {
    const int error = errno;  // before anything else can change it
    throw IoError({.path = path_, .problem = std::string(what) + ": " + std::strerror(error)});
  }

  std::string path_, temporary_;
  int file_ = -1;
  bool is_committed_ = false;
};

RWKV_NAMESPACE_END
