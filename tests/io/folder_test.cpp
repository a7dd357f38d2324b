// SPDX-License-Identifier: MIT
#include "rwkv/io/folder.hpp"

#include "io/files.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/safetensors.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

using Names = std::vector<std::string>;

/// The name of the file that stands for a folder with these files.
std::string chosen(const Names& names) {
  const TemporaryFolder folder;
  for (const std::string& name : names) write_file(folder / name, "");
  const std::string path = detail::model_in_folder(folder.path());
  REQUIRE(path.starts_with(folder.path() + "/"));
  return path.substr(folder.path().size() + 1);
}

/// What is told about a folder with these files instead.
std::string refusal(const Names& names) {
  try {
    return "chosen: " + chosen(names);
  } catch (const IoError& error) {
    return std::string(error.details().found);
  }
}

}  // namespace

TEST_SUITE_BEGIN("io/folder");

TEST_CASE("the only model is taken, of whatever format") {
  for (const std::string name : {"a.pth", "b.safetensors", "c.st", "d.gguf", "e.bin"}) {
    CHECK(chosen({"README.md", "config.json", name, "tokenizer.json"}) == name);
  }
}

TEST_CASE("an index goes before its shards, and files of transformers before what is beside them") {
  const Names shards{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
  Names all = shards;
  all.insert(all.end(), {"model.safetensors.index.json", "pytorch_model.bin.index.json", "pytorch_model.bin"});
  CHECK(chosen(all) == "model.safetensors.index.json");
  CHECK(chosen({"model.safetensors", "pytorch_model.bin.index.json", "adapter_model.safetensors"}) ==
        "model.safetensors");
  CHECK(chosen({"pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin", "a.pth"}) ==
        "pytorch_model.bin.index.json");
  CHECK(chosen({"pytorch_model.bin", "training_args.bin"}) == "pytorch_model.bin");
  CHECK(refusal(shards) ==
        "a directory with 2 of them: 'model-00001-of-00002.safetensors', "
        "'model-00002-of-00002.safetensors'");
}

TEST_CASE("a folder without a model, or with several, is told by what is in it") {
  CHECK(refusal({}) == "a directory with no files");
  CHECK(refusal({"b", "a"}) == "a directory with no model: 'a', 'b'");
  CHECK(refusal({"1", "2", "3", "4", "5", "6"}) == "a directory with no model: '1', '2', '3', '4', '5' and 1 more");
  CHECK(refusal({"b.pth", "a.gguf"}) == "a directory with 2 of them: 'a.gguf', 'b.pth'");
  CHECK(refusal({"a.safetensors.index.json", "b.safetensors.index.json", "model.safetensors"}) ==
        "a directory with 2 of them: 'a.safetensors.index.json', 'b.safetensors.index.json'");
  CHECK_THROWS_WITH_AS(static_cast<void>(detail::model_in_folder("/nonexistent")), doctest::Contains("cannot read"),
                       IoError);
}

TEST_CASE("folders in a folder and links to nowhere are no files") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "model.safetensors");
  std::filesystem::create_symlink("nowhere", folder / "model.safetensors.index.json");
  write_file(folder / "only.pth", "");
  CHECK(detail::model_in_folder(folder.path()) == folder / "only.pth");
}

TEST_CASE("a folder is opened as the file in it, which messages name") {
  const TemporaryFolder folder;
  Checkpoint checkpoint;
  checkpoint.add("emb.weight", make_tensor({2}, std::vector<float>{1, 2}));
  write_safetensors(checkpoint, folder / "model.safetensors");
  for (const std::string end : {"", "/", "/."}) {
    const Checkpoint opened = open_checkpoint(folder.path() + end);
    check_same(opened, checkpoint);
    CHECK(std::filesystem::equivalent(opened.path(), folder / "model.safetensors"));
  }
  write_file(folder / "model.safetensors", "no model at all");
  CHECK_THROWS_WITH_AS(static_cast<void>(open_checkpoint(folder.path())), doctest::Contains("/model.safetensors: not"),
                       FormatError);
  std::filesystem::remove(folder / "model.safetensors");
  CHECK_THROWS_WITH_AS(static_cast<void>(open_checkpoint(folder.path())), doctest::Contains("found a directory with"),
                       IoError);
}

TEST_SUITE_END();
