// SPDX-License-Identifier: MIT
#include "rwkv/load.hpp"

#include "io/files.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/io/gguf_write.hpp"
#include "rwkv/io/pth_write.hpp"
#include "rwkv/io/safetensors.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

/// A small RWKV-7, and 256 bytes and a word in its metadata, if there is one.
Checkpoint small_model(const std::string& word = {}) {
  Checkpoint model = synthetic({Generation::v7, 2, 16, 16, 32, 2, 8, 260, {0, 3, 5, 7, 9}}, DType::f32, 1);
  if (!word.empty()) {
    model.metadata()[std::string(vocabulary_key)] =
        byte_vocabulary() + "257 '" + word + "' " + std::to_string(word.size()) + "\n";
  }
  return model;
}

}  // namespace

TEST_SUITE_BEGIN("load");

TEST_CASE("a tokenizer comes from the file that is named, from the model's own, or from beside it") {
  const TemporaryFolder folder;
  const std::string gguf = folder / "model.gguf", other = folder / "model.safetensors", named = folder / "named.txt";
  write_gguf(small_model("inside"), gguf);
  write_safetensors(small_model(), other);
  write_file(named, byte_vocabulary() + "257 'named' 5\n");
  const Model model = load_model(gguf);
  CHECK_THROWS_WITH_AS((void)tokenizer_for(model, other), doctest::Contains("no tokenizer beside"), ArgumentError);
  write_file(folder / "beside.vocab", byte_vocabulary() + "257 'beside' 6\n");
  CHECK(tokenizer_for(model, gguf).bytes(257) == "inside");
  CHECK(tokenizer_for(model, other).bytes(257) == "beside");
  CHECK(tokenizer_for(model, folder.path()).bytes(257) == "beside");  // the folder's model is the safetensors file
  CHECK(tokenizer_for(model, gguf, named).bytes(257) == "named");
  CHECK(tokenizer_for(model, other, named).bytes(257) == "named");
  std::filesystem::remove(other);
  CHECK(tokenizer_for(model, folder.path()).bytes(257) == "inside");
}

TEST_CASE("files of every format may hold a vocabulary") {
  const Checkpoint model = small_model("inside");
  const TemporaryFile safetensors(".safetensors"), pth(".pth");
  write_safetensors(model, safetensors.path());
  write_pth(planned(model), pth.path());
  for (const TemporaryFile* file : {&safetensors, &pth}) {
    CAPTURE(file->path());
    CHECK(tokenizer_for(load_model(file->path()), file->path()).bytes(257) == "inside");
  }
}

TEST_CASE("a vocabulary in a file that does not belong to the model is refused") {
  const TemporaryFile file(".gguf");
  write_gguf(small_model("word"), file.path());
  const Model larger(synthetic({Generation::v7, 2, 16, 16, 32, 2, 8, 600, {0, 3, 5, 7, 9}}, DType::f32, 1));
  CHECK_THROWS_WITH_AS((void)tokenizer_for(larger, file.path()), doctest::Contains("does not belong to the model"),
                       ArgumentError);
}

TEST_SUITE_END();
