// SPDX-License-Identifier: MIT
#include "rwkv/io/zip.hpp"

#include "io/files.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

ZipArchive open_zip(const std::string& file) { return ZipArchive("test.zip", bytes_of(file)); }

}  // namespace

TEST_SUITE_BEGIN("io/zip");

TEST_CASE("entries are found by name, in place, with and without zip64") {
  for (const bool is_zip64 : {false, true}) {
    CAPTURE(is_zip64);
    const std::string file =
        make_zip({{.name = "b/data", .data = "world", .is_zip64 = is_zip64}, {.name = "a", .data = "hello"}}, is_zip64);
    const ZipArchive archive = open_zip(file);
    REQUIRE(archive.entries().size() == 2);
    CHECK(archive.entries()[0].name == "a");
    const ZipEntry* entry = archive.find("b/data");
    REQUIRE(entry != nullptr);
    CHECK(as_text(archive.stored(*entry)) == "world");
    CHECK(entry->data.data() > bytes_of(file).data());
    CHECK_NOTHROW(archive.verify(*entry));
    CHECK(archive.find("b") == nullptr);
  }
}

TEST_CASE("a comment may follow, an archive may be empty") {
  std::string file = make_zip({});
  CHECK(open_zip(file).entries().empty());
  file[file.size() - 2] = 5;
  CHECK(open_zip(file + "hello").entries().empty());
  CHECK_THROWS_WITH_AS(open_zip(file + "hell"), doctest::Contains("the end of the zip file is missing"), FormatError);
}

TEST_CASE("a wrong CRC-32 is refused when it is asked for") {
  const std::string file = make_zip({{.name = "x", .data = "data", .crc_error = 1}});
  const ZipArchive archive = open_zip(file);
  CHECK(as_text(archive.stored(archive.entries()[0])) == "data");
  CHECK_THROWS_WITH_AS(archive.verify(archive.entries()[0]), doctest::Contains("zip entry 'x': the CRC-32"),
                       FormatError);
}

TEST_CASE("compressed and encrypted entries are named for what they are") {
  const std::string file = make_zip({{.name = "d", .data = "1", .method = 8}, {.name = "e", .data = "2", .flags = 1}});
  const ZipArchive archive = open_zip(file);
  CHECK_THROWS_WITH_AS(static_cast<void>(archive.stored(*archive.find("d"))), doctest::Contains("8 (deflated)"),
                       UnsupportedError);
  CHECK_THROWS_WITH_AS(static_cast<void>(archive.stored(*archive.find("e"))), doctest::Contains("'e': is encrypted"),
                       UnsupportedError);
}

TEST_CASE("names that are double or lead outside are refused") {
  CHECK_THROWS_WITH_AS(open_zip(make_zip({{.name = "x", .data = "1"}, {.name = "x", .data = "2"}})),
                       doctest::Contains("'x': the name occurs twice"), FormatError);
  for (const std::string name : {"../x", "a/../x", "/x", "..", "a/.."}) {
    CAPTURE(name);
    CHECK_THROWS_WITH_AS(open_zip(make_zip({{.name = name, .data = "1"}})), doctest::Contains("leads out"),
                         FormatError);
  }
  CHECK_NOTHROW(open_zip(make_zip({{.name = "v1..2/x", .data = "1"}})));
}

TEST_CASE("entries that reach into each other or into the directory are refused") {
  CHECK_THROWS_WITH_AS(open_zip(make_zip({{.name = "x", .data = "1", .size_error = 1}, {.name = "y", .data = "2"}})),
                       doctest::Contains("'y': overlaps 'x'"), FormatError);
  for (const std::uint64_t error : {std::uint64_t{1}, std::uint64_t{1} << 62, ~std::uint64_t{0} - 1}) {
    CAPTURE(error);
    CHECK_THROWS_WITH_AS(open_zip(make_zip({{.name = "x", .data = "1", .size_error = error, .is_zip64 = true}})),
                         doctest::Contains("'x': reaches into the zip directory"), FormatError);
  }
}

TEST_CASE("a directory outside of the file is refused") {
  std::string file = make_zip({{.name = "x", .data = "1"}}, true);
  const std::size_t end64 = file.find("PK\x06\x06");
  for (const std::size_t field : {std::size_t{32}, std::size_t{40}, std::size_t{48}}) {  // count, size, offset
    for (const std::uint64_t value : {std::uint64_t{1000}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
      CAPTURE(field);
      CAPTURE(value);
      std::string bad = file;
      bad.replace(end64 + field, 8, u64(value));
      CHECK_THROWS_AS(open_zip(bad), FormatError);
    }
  }
  file.replace(end64 + 16, 4, u32(1));
  CHECK_THROWS_WITH_AS(open_zip(file), doctest::Contains("several files"), UnsupportedError);
}

TEST_CASE("no cut of a file is accepted") {
  const std::string file = make_zip({{.name = "x", .data = "1"}, {.name = "y", .data = "2"}}, true);
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK_THROWS_AS(open_zip(file.substr(0, size)), FormatError);
  }
}

TEST_SUITE_END();
