// SPDX-License-Identifier: MIT
#include "rwkv/io/gguf_write.hpp"

#include "io/files.hpp"
#include "rwkv/io/open.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

Checkpoint golden(const std::string& name) {
  return open_checkpoint(shared_file("spec/golden/models/" + name + ".safetensors"));
}

void check_refused(const Checkpoint& official, const char* phrase) {
  const TemporaryFile file(".gguf");
  CHECK_THROWS_WITH_AS(write_gguf(official, file.path()), doctest::Contains(phrase), UnsupportedError);
  CHECK(!std::filesystem::exists(file.path()));
}

/// The vocabulary of bytes with more lines, in the metadata.
Checkpoint with_vocabulary(Checkpoint checkpoint, const std::string& more) {
  checkpoint.metadata()["rwkv.vocabulary"] = byte_vocabulary() + more;
  return checkpoint;
}

std::string text(const std::string& value) { return u64(value.size()) + value; }

/// Layer 0 has no earlier values to mix in, and its v0, v1, v2 are copies of a0, a1, a2 for llama.cpp.
bool is_unused(const std::string& name) { return name.starts_with("blocks.0.att.v") && name.size() == 15; }

}  // namespace

TEST_SUITE_BEGIN("io/gguf_write");

TEST_CASE("names, shapes, types and metadata are those of the converter of llama.cpp") {
  RWKV_NEEDS_SHARED();
  for (const auto& pair : {std::pair{"v6", "v6_F32_rescale2.gguf"}, {"v7", "v7_F32.gguf"}}) {
    const std::string model = pair.first, file = pair.second;
    CAPTURE(model);
    const TemporaryFile out(".gguf");
    write_gguf(golden(model), out.path());
    const GgufFile stored = read_gguf_file(map(out.path()));
    const GgufFile reference = read_gguf_file(map(shared_file("spec/golden/formats/" + file)));
    CHECK(stored.tensors.entries().size() == reference.tensors.entries().size());
    for (const auto& entry : reference.tensors.entries()) {
      CAPTURE(entry.name);
      // llama.cpp compares sizes, and leading ones do not count.
      const TensorView& tensor = stored.tensors.at(entry.name);
      std::vector<Index> expected(entry.tensor.shape.begin(), entry.tensor.shape.end());
      std::vector<Index> found(tensor.shape.begin(), tensor.shape.end());
      while (expected.size() > 1 && expected.front() == 1) expected.erase(expected.begin());
      while (found.size() > 1 && found.front() == 1) found.erase(found.begin());
      CHECK(found == expected);
      CHECK(tensor.dtype == entry.tensor.dtype);
    }
    for (const auto& value : reference.metadata) {
      CAPTURE(value.first);
      if (value.first == "general.name") continue;  // of the author
      REQUIRE(stored.find(value.first) != nullptr);
      const bool is_number =
          reference.number(value.first).has_value() && !value.first.ends_with("rescale_every_n_layers");
      if (is_number) CHECK(stored.number(value.first) == reference.number(value.first));
    }
  }
}

TEST_CASE("a model comes back bit for bit, in every type") {
  RWKV_NEEDS_SHARED();
  for (const std::string name :
       {"v6.0/v6.0-fp32", "v7.0/v7.0-fp32", "v7.0/v7.0-fp16", "v7.0/v7.0-bf16", "v7.0-h32/v7.0-h32-fp32"}) {
    CAPTURE(name);
    const Checkpoint official = open_checkpoint(shared_file("testdata/models/" + name + ".pth"));
    const TemporaryFile file(".gguf"), again(".gguf");
    write_gguf(official, file.path());
    const Checkpoint found = read_gguf(map(file.path()));
    for (const auto& entry : official.entries()) {
      CAPTURE(entry.name);
      if (is_unused(entry.name)) continue;
      const TensorView& other = found.at(entry.name);
      const bool is_matrix = entry.name.ends_with(".weight") && entry.tensor.shape.rank() == 2;
      CHECK(other.dtype == (is_matrix ? entry.tensor.dtype : DType::f32));
      CHECK(other.n_elements() == entry.tensor.n_elements());
      CHECK(max_abs_difference(read_all<float>(other), read_all<float>(entry.tensor)) == 0);
    }
    write_gguf(found, again.path());
    CHECK(read_file(again.path()) == read_file(file.path()));
  }
}

TEST_CASE("quantised files keep their blocks") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v7_Q8_0.gguf", "v7_Q8_0.bin", "v7_Q4_0.bin", "v7_Q5_1.bin"}) {
    CAPTURE(name);
    const Checkpoint official = open_checkpoint(shared_file("spec/golden/formats/" + name));
    const TemporaryFile file(".gguf");
    write_gguf(official, file.path());
    const Checkpoint found = read_gguf(map(file.path()));
    int n_blocks = 0;
    for (const auto& entry : official.entries()) {
      if (info(entry.tensor.dtype).block_elements == 1) continue;
      CAPTURE(entry.name);
      CHECK(same_tensor(found.at(entry.name), entry.tensor));
      ++n_blocks;
    }
    CHECK(n_blocks > 5);
  }
}

TEST_CASE("the vocabulary is spelled as llama.cpp reads it, and comes back") {
  RWKV_NEEDS_SHARED();
  Checkpoint official = open_checkpoint(shared_file("testdata/models/v7.0-h32/v7.0-h32-fp32.pth"));  // 200 tokens
  official.metadata() = {{"rwkv.vocabulary", byte_vocabulary()}};
  const TemporaryFile file(".gguf");
  write_gguf(official, file.path());
  const GgufFile stored = read_gguf_file(map(file.path()));
  const std::string_view tokens = as_text(std::get<GgufArray>(*stored.find("tokenizer.ggml.tokens")).bytes);
  CHECK(tokens.starts_with(text("<s>") + text("\\x00") + text("\\x01")));
  CHECK(tokens.find(text("&") + text("\\x27") + text("(")) != tokens.npos);
  CHECK(tokens.find(text("[") + text("\\\\") + text("]")) != tokens.npos);
  const std::string found = read_gguf(map(file.path())).metadata().at("rwkv.vocabulary");
  CHECK(found.starts_with("1 b'\\x00' 1\n2 b'\\x01' 1\n"));
  CHECK(found.ends_with("199 b'\\xc6' 1\n"));  // as many as the model has
}

TEST_CASE("spelled tokens: every byte") {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  CHECK(detail::unescaped_token(detail::escaped_token(bytes)) == bytes);
}

TEST_CASE("metadata come back") {
  RWKV_NEEDS_SHARED();
  Checkpoint official = golden("v7");
  official.metadata() = {{"rwkv.fingerprint", "0123456789abcdef"},
                         {"format", "pt"},
                         {"rwkv.metadata.x", "\xff"},
                         {"x", "2"},
                         {"tokenizer.chat_template", "rwkv-world"}};
  const TemporaryFile file(".gguf");
  write_gguf(official, file.path());
  CHECK(read_gguf(map(file.path())).metadata() == official.metadata());
  CHECK(read_gguf_file(map(file.path())).text("tokenizer.chat_template") == "rwkv-world");  // where others look for it
}

TEST_CASE("models and tensors that GGUF has no place for are refused before anything is written") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v1_late", "v2", "v3", "v4", "v5_2"}) {
    CAPTURE(name);
    check_refused(golden(name), "expected RWKV-6 or 7, found another model");
  }
  check_refused(golden("v6a"), "GGUF has no place for it");
  check_refused(golden("v7a"), "GGUF has no place for it");
  check_refused(open_checkpoint(shared_file("testdata/models/v6.0-h32-state/v6.0-h32-state-fp32.pth")),
                "time_state': GGUF has no place for it");
  const TensorView one = make_tensor({1}, std::vector<float>{1});
  for (const std::string& name : {std::string("blocks.0.att.w3"), std::string("blk.0.attn_norm.weight"),
                                  std::string("a\nb"), std::string(900, 'x')}) {
    Checkpoint more = golden("v7");
    more.add(name, one);
    check_refused(more, "GGUF has no place for it");
  }
  check_refused(golden("v7").transformed([](Checkpoint::Entry entry) {
    if (entry.name == "emb.weight") entry.tensor.shape = {0, 32};
    return entry;
  }),
                "none of length 0");
  check_refused(golden("v7").transformed([](Checkpoint::Entry entry) {
    if (entry.name == "emb.weight") entry.tensor = {DType::u8, {4, 4}, entry.tensor.data, entry.tensor.owner};
    return entry;
  }),
                "'token_embd.weight': GGUF has no type u8");
}

TEST_CASE("broken outlines and vocabularies are named") {
  RWKV_NEEDS_SHARED();
  const TemporaryFile file(".gguf");
  const auto check = [&](const Checkpoint& official, const char* phrase) {
    CHECK_THROWS_WITH_AS(write_gguf(official, file.path()), doctest::Contains(phrase), ModelError);
  };
  const auto without = [](const std::string& name) {
    const Checkpoint official = golden("v7");
    Checkpoint result;
    for (const auto& entry : official.entries()) {
      if (entry.name != name) result.add(entry.name, entry.tensor);
    }
    return result;
  };
  check(without("emb.weight"), "'emb.weight'");
  check(without("blocks.1.att.x_v"), "'blocks.1.att.x_v': is missing");
  check(without("blocks.0.ffn.key.weight"), "'blocks.0.ffn.key.weight'");
  check(golden("v7").transformed([](Checkpoint::Entry entry) {
    if (entry.name == "blocks.0.att.w1") entry.tensor.shape = {entry.tensor.n_elements()};
    return entry;
  }),
        "expected a matrix");
  CHECK_THROWS_WITH_AS(write_gguf(with_vocabulary(golden("v7"), "x 'y' 1\n"), file.path()),
                       doctest::Contains("expected line 257 to be: id, literal, number of bytes, found 'x 'y' 1'"),
                       FormatError);
  for (const std::string line : {"1", "1 'x", "1 2", " ", "-1 'x' 1", "1  1"}) {
    CAPTURE(line);
    CHECK_THROWS_AS(write_gguf(with_vocabulary(golden("v7"), line), file.path()), FormatError);
  }
  CHECK(!std::filesystem::exists(file.path()));
}

TEST_SUITE_END();
