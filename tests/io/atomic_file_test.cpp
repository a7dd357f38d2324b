// SPDX-License-Identifier: MIT
#include "rwkv/io/atomic_file.hpp"

#include "support/temporary_folder.hpp"

using namespace rwkv;
using namespace rwkv_test;

TEST_SUITE_BEGIN("io/atomic_file");

TEST_CASE("the file appears with commit, and then alone") {
  const TemporaryFolder folder;
  AtomicFile file(folder / "x");
  file.write("hello ");
  file.write("world");
  CHECK(!std::filesystem::exists(folder / "x"));
  file.commit();
  CHECK(read_file(folder / "x") == "hello world");
  CHECK(folder.names() == std::vector<std::string>{"x"});
}

TEST_CASE("without commit the old file stays and nothing is left behind") {
  const TemporaryFolder folder;
  write_file(folder / "x", "old");
  { AtomicFile(folder / "x").write("new"); }
  CHECK(read_file(folder / "x") == "old");
  CHECK(folder.names() == std::vector<std::string>{"x"});
}

TEST_CASE("links and empty names are refused, and a link keeps its target") {
  const TemporaryFolder folder;
  write_file(folder / "target", "old");
  std::filesystem::create_symlink(folder / "target", folder / "link");
  CHECK_THROWS_WITH_AS(AtomicFile(folder / "link"), doctest::Contains("found a folder, a link or a device"), IoError);
  CHECK(read_file(folder / "target") == "old");
  CHECK_THROWS_WITH_AS(AtomicFile(""), doctest::Contains("an empty file name"), IoError);
}

TEST_CASE("two writers of one file do not disturb each other") {
  const TemporaryFolder folder;
  AtomicFile a(folder / "x"), b(folder / "x");
  a.write("aaaa");
  b.write("b");
  b.commit();
  CHECK(read_file(folder / "x") == "b");
  a.commit();
  CHECK(read_file(folder / "x") == "aaaa");
}

TEST_CASE("what cannot be written is an error with the path and the reason") {
  CHECK_THROWS_WITH_AS(AtomicFile("/nonexistent/x"), "/nonexistent/x: cannot create: No such file or directory",
                       IoError);
  CHECK_THROWS_WITH_AS(AtomicFile("/tmp"), doctest::Contains("/tmp: cannot write: found a folder"), IoError);
  CHECK_THROWS_WITH_AS(AtomicFile("/dev/null"), doctest::Contains("a device"), IoError);
}

TEST_CASE("a rename that fails leaves nothing behind") {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder / "x");
    std::filesystem::create_directory(folder / "x");  // made after the check
    CHECK_THROWS_WITH_AS(file.commit(), doctest::Contains("cannot rename"), IoError);
  }
  CHECK(folder.names() == std::vector<std::string>{"x"});
}

TEST_SUITE_END();
