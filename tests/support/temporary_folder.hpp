// SPDX-License-Identifier: MIT
// A folder that tests may fill.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "support/support.hpp"

namespace rwkv_test {

/// A fresh folder in the temporary folder; it is removed with the object, with all that is in it.
class TemporaryFolder {
public:
  TemporaryFolder() { std::filesystem::create_directory(name_.path()); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path(), error);
  }
  [[nodiscard]] const std::string& path() const { return name_.path(); }
  /// A file in it, which need not be there.
  [[nodiscard]] std::string operator/(const std::string& name) const { return path() + "/" + name; }
  /// Of what is in it, in any order.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path())) found.push_back(entry.path().filename());
    return found;
  }
  [[nodiscard]] std::ptrdiff_t n_files() const { return std::ssize(names()); }

private:
  TemporaryFile name_{""};
};

}  // namespace rwkv_test
