// SPDX-License-Identifier: MIT
#include "rwkv/io/sharded.hpp"

#include "io/files.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/safetensors.hpp"

using namespace rwkv;
using namespace rwkv_test;
using namespace std::string_literals;

namespace {

const std::string index_name = "model.safetensors.index.json";

Checkpoint with(const std::vector<std::string>& names, const std::string& metadata = "") {
  Checkpoint checkpoint;
  for (const std::string& name : names) {
    const auto value = static_cast<float>(name.size());
    checkpoint.add(name, make_tensor({2}, std::vector<float>{value, -value}));
  }
  if (!metadata.empty()) checkpoint.metadata()["key"] = metadata;
  return checkpoint;
}

/// A folder with the shards "1" (a, bb) and "2" (ccc).
struct Sharded : TemporaryFolder {
  Sharded() {
    write_safetensors(with({"a", "bb"}, "first"), *this / "1");
    write_safetensors(with({"ccc"}, "second"), *this / "2");
  }
  /// Opens the index of this text.
  Checkpoint open(const std::string& text) const {
    write_file(*this / index_name, text);
    return open_checkpoint(*this / index_name);
  }
  /// The same for the text of a weight_map.
  Checkpoint open_map(const std::string& map) const {
    return open(R"({"metadata": {"total_size": 24}, "weight_map": {)" + map + "}}");
  }
};

}  // namespace

TEST_SUITE_BEGIN("io/sharded");

TEST_CASE("all shards of an index are one checkpoint") {
  const Sharded folder;
  const std::string map = R"("a": "1", "ccc": "2", "bb": "1")";
  const Checkpoint opened = folder.open_map(map);
  check_same(opened, with({"a", "bb", "ccc"}));
  CHECK(opened.path() == folder / index_name);
  CHECK(opened.metadata().at("key") == "first");
  check_same(open_checkpoint(folder.path()), opened);
  check_same(folder.open(" \n\t{\"weight_map\": {" + map + "}, \"other\": [1, {}]}\r\n"), opened);
}

TEST_CASE("shards may be PyTorch files, and have the prefixes of training frameworks") {
  RWKV_NEEDS_SHARED();
  const TemporaryFolder folder;
  const std::string source = shared_file("testdata/odd-valid/plain.pth");
  const Checkpoint expected = open_checkpoint(source);
  std::filesystem::copy_file(source, folder / "pytorch_model-00001-of-00001.bin");
  std::string map;
  for (const auto& entry : expected.entries()) {
    map += (map.empty() ? "\"" : ",\"") + entry.name + "\":\"pytorch_model-00001-of-00001.bin\"";
  }
  write_file(folder / "pytorch_model.bin.index.json", "{\"weight_map\":{" + map + "}}");
  check_same(open_checkpoint(folder.path()), expected);

  const Sharded prefixed;
  write_safetensors(with({"module.emb.weight"}), prefixed / "1");
  write_safetensors(with({"module.blocks.0.x"}), prefixed / "2");
  const Checkpoint opened = prefixed.open_map(R"("module.emb.weight": "1", "module.blocks.0.x": "2")");
  CHECK(opened.contains("emb.weight"));
  CHECK(opened.contains("blocks.0.x"));
}

TEST_CASE("tensors that the index does not list are taken, too") {
  const Sharded folder;
  CHECK(folder.open_map(R"("a": "1")").contains("bb"));
  write_safetensors(with({"bb"}), folder / "2");
  CHECK_THROWS_WITH_AS(folder.open_map(R"("a": "1", "bb": "2")"),
                       doctest::Contains("'bb': expected it in shard '2', found it in '1'"), FormatError);
  write_safetensors(with({"bb", "ccc"}), folder / "2");
  CHECK_THROWS_WITH_AS(folder.open_map(R"("a": "1", "ccc": "2")"), doctest::Contains("'bb': the name occurs twice"),
                       FormatError);
}

TEST_CASE("an index and its shards that do not belong together are refused") {
  const Sharded folder;
  CHECK_THROWS_WITH_AS(folder.open_map(R"("a": "1", "ccc": "3")"),
                       doctest::Contains("index.json: shard '3': is missing beside the index"), IoError);
  CHECK_THROWS_WITH_AS(folder.open_map(R"("a": "1", "x": "2")"),
                       doctest::Contains("'x': is not in shard '2', where the index has it"), FormatError);
  CHECK_THROWS_WITH_AS(folder.open_map(R"("a": "2", "bb": "1")"),
                       doctest::Contains("'a': expected it in shard '2', found it in '1'"), FormatError);
  CHECK_THROWS_WITH_AS(folder.open_map(R"("a": "1", "a": "1")"), doctest::Contains("'a': is listed twice"),
                       FormatError);
  write_file(folder / "2", "This is no model, only text.");
  CHECK_THROWS_WITH_AS(folder.open_map(R"("a": "1", "ccc": "2")"), doctest::Contains("/2: not a model: a text file"),
                       FormatError);
}

TEST_CASE("an index leads nowhere but to files beside it") {
  const Sharded folder;
  const TemporaryFolder inner;
  write_safetensors(with({"a"}), inner / "model");
  for (const std::string& file : {".."s, "."s, ""s, "../1"s, "/etc/passwd"s, inner / "model", "x/../1"s, "./1"s, "1/"s,
                                  "..\\\\1"s, "1\\u0000"s}) {
    CAPTURE(file);
    CHECK_THROWS_WITH_AS(folder.open_map("\"a\": \"" + file + "\""),
                         doctest::Contains("'a': its shard must be a file in the folder of the index"), FormatError);
  }
  std::filesystem::create_directory(folder / "folder");
  CHECK_THROWS_WITH_AS(folder.open_map(R"("a": "folder")"), doctest::Contains("found a directory"), IoError);
  // Not even in a circle: a shard holds tensors.
  CHECK_THROWS_WITH_AS(folder.open_map("\"a\": \"" + index_name + "\""), doctest::Contains("not a model: a JSON file"),
                       FormatError);
}

TEST_CASE("what is no index is refused") {
  const Sharded folder;
  struct Case {
    std::string text, phrase;
  };
  for (const Case& each : {
           Case{R"({"weight_map": {}})", "no tensors are listed"},
           Case{R"({"a": "\"weight_map\""})", "a JSON file"},  // as a member it would not be escaped
           Case{R"({"other": {"weight_map": {"a": "1"}}})", "no tensors are listed"},
           Case{R"({"weight_map": ["a"]})", "weight_map: expected an object, found a list"},
           Case{R"({"weight_map": {"a": 1}})", "weight_map: expected a string, found a number"},
           Case{R"({"weight_map": {"a": "1"}, "weight_map": {}})", "weight_map: occurs twice"},
           Case{R"({"weight_map": {"a": "1"}} x)", "is not valid JSON at byte 27"},
           Case{R"(["weight_map", {"a": "1"}])", "a JSON file"},
           Case{R"({"weight_map": )" + std::string(100'000, '[') + "}", "expected an object, found a list"},
           Case{R"({"x": )" + std::string(100'000, '[') + R"(, "weight_map": {"a": "1"}})", "nested too deeply"},
       }) {
    CAPTURE(each.text.substr(0, 100));
    CHECK_THROWS_WITH_AS(folder.open(each.text), doctest::Contains(each.phrase.c_str()), FormatError);
  }
  const std::string whole = R"({"weight_map": {"a": "1", "ccc": "2"}})";
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CAPTURE(n);
    CHECK_THROWS_AS(folder.open(whole.substr(0, n)), FormatError);
  }
  CHECK_THROWS_WITH_AS(static_cast<void>(open_checkpoint(std::as_bytes(std::span(whole)), "a resource")),
                       doctest::Contains("a resource: not a model: a JSON file"), FormatError);
}

TEST_CASE("an index of more tensors than any model has is refused before its shards are read") {
  std::string map = "{\"weight_map\":{";
  for (std::size_t i = 0; i <= Checkpoint::max_tensors; ++i) map += "\"" + std::to_string(i) + "\":\"1\",";
  map += "\"a\":\"1\"}}";
  CHECK_THROWS_WITH_AS(static_cast<void>(detail::parse_shard_index("x.json", map)),
                       "x.json: weight_map: more than 100000 tensors", FormatError);
}

TEST_SUITE_END();
