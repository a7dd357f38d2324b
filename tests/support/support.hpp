// SPDX-License-Identifier: MIT
// What tests share: where the data is, how results are compared.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <unistd.h>

#include "rwkv/core/random.hpp"
#include "rwkv/version.hpp"

namespace rwkv_test {

/// A file of the project's own fixtures.
inline std::string fixture(const std::string& name) { return std::string(RWKV_TEST_FIXTURES) + "/" + name; }

/// A file of the reference data (CMake variable RWKV_TESTDATA): testdata/..., spec/golden/....
inline std::string shared_file(const std::string& name) { return std::string(RWKV_TESTDATA) + "/" + name; }

/// A fresh path in the temporary folder; the file is removed with the object.
class TemporaryFile {
public:
  explicit TemporaryFile(const std::string& suffix) {
    static int counter = 0;
    path_ = (std::filesystem::temp_directory_path() /
             ("rwkv-test-" + std::to_string(::getpid()) + "-" + std::to_string(counter++) + suffix))
                .string();
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), "cannot read " << path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// The largest |a[i] - b[i]|; infinite if the lengths differ or anything is NaN.
template <class A, class B>
double max_abs_difference(const A& a, const B& b) {
  if (std::ssize(a) != std::ssize(b)) return std::numeric_limits<double>::infinity();
  double largest = 0;
  auto other = std::begin(b);
  for (const auto value : a) {
    const double difference = std::abs(static_cast<double>(value) - static_cast<double>(*other++));
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

/// Seeded normal values.
template <class Scalar>
std::vector<Scalar> random_values(rwkv::Index n, std::uint64_t seed, double scale = 1.0) {
  rwkv::Random random(seed);
  std::vector<Scalar> values(static_cast<std::size_t>(n));
  for (Scalar& value : values) value = static_cast<Scalar>(scale * random.normal());
  return values;
}

}  // namespace rwkv_test

/// Ends a test case that needs the reference data when it is absent; ctest then lists the test as skipped.
#define RWKV_NEEDS_SHARED()                                                           \
  do {                                                                                \
    if (!std::filesystem::exists(rwkv_test::shared_file("testdata/README.md"))) {     \
      std::printf("SKIPPED: no reference data at RWKV_TESTDATA=%s\n", RWKV_TESTDATA); \
      return;                                                                         \
    }                                                                                 \
  } while (false)
