// SPDX-License-Identifier: MIT
#include "rwkv/io/open.hpp"

#include "io/files.hpp"
#include "rwkv/io/safetensors.hpp"

using namespace rwkv;
using namespace rwkv_test;
using namespace std::string_literals;

namespace {

Checkpoint open_bytes(const std::string& bytes) {
  const TemporaryFile file(".pth");
  write_file(file.path(), bytes);
  return open_checkpoint(file.path());
}

/// The names that a checkpoint with these names has once it was opened.
std::vector<std::string> opened_names(const std::vector<std::string>& names) {
  Checkpoint checkpoint;
  for (const std::string& name : names) checkpoint.add(name, make_tensor({1}, std::vector<float>{1}));
  checkpoint.metadata()["key"] = "value";
  const TemporaryFile file(".anything");
  write_safetensors(checkpoint, file.path());
  const Checkpoint opened = open_checkpoint(file.path());
  CHECK(opened.metadata() == checkpoint.metadata());
  CHECK(opened.path() == file.path());
  std::vector<std::string> found;
  for (const auto& entry : opened.entries()) found.push_back(entry.name);
  return found;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_SUITE_BEGIN("io/open");

TEST_CASE("prefixes of training frameworks are removed, all of them") {
  const Names expected{"emb.weight", "blocks.0.ln1.weight", "head.weight"};
  CHECK(opened_names(expected) == expected);
  for (const std::string& prefix : {"module."s, "_forward_module."s, "model."s, "_orig_mod."s, "base_model.model."s,
                                    "module._orig_mod.model."s, "_forward_module.module.module."s}) {
    CAPTURE(prefix);
    CHECK(opened_names({prefix + expected[0], prefix + expected[1], prefix + expected[2]}) == expected);
  }
  CHECK(opened_names({"module.tok_emb.weight", "module.head.weight"}) == Names{"tok_emb.weight", "head.weight"});
}

TEST_CASE("a file in memory opens as one on disk, at any address, and its tensors stay where they are") {
  Checkpoint checkpoint;
  checkpoint.add("emb.weight", make_tensor({2}, std::vector<float>{1, 2}));
  const TemporaryFile file(".safetensors");
  write_safetensors(checkpoint, file.path());
  const std::string content = read_file(file.path());
  std::vector<std::byte> memory(content.size() + 1);
  for (const std::size_t offset : {0u, 1u}) {
    std::memcpy(memory.data() + offset, content.data(), content.size());
    const std::span<const std::byte> bytes(memory.data() + offset, content.size());
    const Checkpoint opened = open_checkpoint(bytes, "a resource");
    CHECK(opened.path() == "a resource");
    CHECK(read_all<float>(opened.at("emb.weight"))[1] == 2);
    CHECK(opened.at("emb.weight").data + 8 == bytes.data() + bytes.size());
    CHECK_THROWS_WITH_AS(static_cast<void>(open_checkpoint(bytes.first(20), "a resource")),
                         doctest::Contains("a resource: "), FormatError);
  }
}

TEST_CASE("a prefix that not all names have stays") {
  for (const Names& names :
       {Names{"model.emb.weight", "blocks.0.ln1.weight"}, Names{"model.emb.weight", "module.blocks.0.x"},
        Names{"model.layers.0.x", "model.embeddings.weight"}, Names{"rwkv.blocks.0.x"}, Names{"model.norm.weight"},
        Names{"emb.weight", "model.x"}}) {
    CHECK(opened_names(names) == names);
  }
  CHECK(opened_names({"model.blocks.0.x", "copy_mask"}) == Names{"blocks.0.x", "copy_mask"});
}

TEST_CASE("names that become equal are refused") {
  CHECK_THROWS_WITH_AS(opened_names({"model.blocks.0.x", "model.y", "y"}),
                       doctest::Contains("'y': the name occurs twice"), FormatError);
}

TEST_CASE("what is no model is called by its name") {
  struct Case {
    std::string bytes;
    std::string phrase;
  };
  for (const Case& each : {
           Case{"", "the file is empty"},
           Case{"PK", "too short"},
           Case{std::string(5000, '\0'), "it begins with zeros"},
           Case{"<!DOCTYPE html><html><body>404 Not Found", "an HTML page. The download was an error page"},
           Case{"<HTML><body>404 Not Found", "an HTML page"},
           Case{"<?xml version=\"1.0\"?><Error>", "an XML page"},
           Case{"version https://git-lfs.github.com/spec/v1\noid sha256:",
                "git-lfs pointer, not the model itself. Run `git lfs pull`"},
           Case{"{\n  \"architectures\": [\"Rwkv\"]}", "a JSON file"},
           Case{"[1, 2, 3, 4, 5, 6, 7]", "a JSON file"},
           Case{"This is a readme.\nIt is only text.", "a text file"},
           Case{"int main{ return 0; }", "a text file"},
           Case{"\x80\x04\x95"s + std::string(20, 'x'), "a bare Python pickle"},
           Case{"PK\x05\x06" + std::string(18, '\0'), "an empty zip file"},
           Case{"\x01\x02\x03\x04" + std::string(20, '\x05'), "no known format"},
           Case{make_zip({{.name = "word/document.xml", .data = "text", .method = 8}}),
                "a zip file, but not a PyTorch checkpoint"},
       }) {
    CAPTURE(each.phrase);
    CHECK_THROWS_WITH_AS(open_bytes(each.bytes), doctest::Contains(each.phrase.c_str()), FormatError);
  }
  for (const Case& each : {
           Case{"lmgg" + std::string(20, '\0'), "old ggml format (ggml)"},
           Case{"tjgg" + std::string(20, '\0'), "old ggml format (ggjt)"},
           Case{"algg" + std::string(20, '\0'), "old ggml format (ggla)"},
           Case{"\x1f\x8b\x08" + std::string(20, '\0'), "a gzip archive. Unpack it first."},
           Case{std::string(257, 'x') + "ustar" + std::string(250, '\0'), "a tar archive"},
       }) {
    CAPTURE(each.phrase);
    CHECK_THROWS_WITH_AS(open_bytes(each.bytes), doctest::Contains(each.phrase.c_str()), UnsupportedError);
  }
}

TEST_CASE("what the operating system refuses is an IoError") {
  CHECK_THROWS_WITH_AS(static_cast<void>(open_checkpoint("/nonexistent.pth")), doctest::Contains("No such file"),
                       IoError);
}

TEST_CASE("one model is the same in every container") {
  RWKV_NEEDS_SHARED();
  const Checkpoint expected = open_checkpoint(shared_file("spec/golden/models/v7.safetensors"));
  for (const std::string name : {"zip_f32", "legacy_f32", "wrapped", "prefixed", "parameters", "shared_storage"}) {
    CAPTURE(name);
    check_same(open_checkpoint(shared_file("spec/golden/formats/v7_"s + name + ".pth")), expected);
  }
  CHECK(open_checkpoint(shared_file("testdata/odd-valid/ggmf-fp32.bin")).entries().size() ==
        open_checkpoint(shared_file("testdata/odd-valid/plain.pth")).entries().size());
}

TEST_SUITE_END();
