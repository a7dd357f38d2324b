// SPDX-License-Identifier: MIT
#include "rwkv/core/mapped_file.hpp"

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("core/mapped_file");

TEST_CASE("the bytes of a file, also of an empty one") {
  const rwkv_test::TemporaryFile file(".bin");
  rwkv_test::write_file(file.path(), "hello");
  const MappedFile mapped(file.path());
  CHECK(std::string(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()) == "hello");
  CHECK(mapped.path() == file.path());
  rwkv_test::write_file(file.path(), "");
  CHECK(MappedFile(file.path()).bytes().empty());
}

TEST_CASE("bytes that are in memory already, under a name") {
  const std::byte bytes[3]{};
  const MappedFile file(bytes, "a resource");
  CHECK(file.bytes().data() == bytes);
  CHECK(file.bytes().size() == 3);
  CHECK(file.path() == "a resource");
}

TEST_CASE("what is no file is refused with its path and what it is") {
  CHECK_THROWS_WITH_AS(MappedFile("/nonexistent/x"), doctest::Contains("/nonexistent/x: cannot open: "), IoError);
  CHECK_THROWS_WITH_AS(MappedFile("/"), "/: expected a file, found a directory", IoError);
  CHECK_THROWS_WITH_AS(MappedFile("/dev/null"), doctest::Contains("found a device or a pipe"), IoError);
}

TEST_SUITE_END();
