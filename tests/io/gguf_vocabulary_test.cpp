// SPDX-License-Identifier: MIT
#include "rwkv/io/gguf_vocabulary.hpp"

#include "io/files.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/io/gguf_write.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/text/world_tokenizer.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

using Tokens = std::vector<std::string>;

std::string text(const std::string& value) { return u64(value.size()) + value; }

/// A GGUF file without tensors: its kind of tokenizer, its tokens, and their types if there are any.
std::string file_with(const std::string& kind, const Tokens& tokens, const std::vector<std::int32_t>& types = {}) {
  std::string file = "GGUF" + u32(3) + u64(0) + u64(types.empty() ? 2 : 3);
  file += text("tokenizer.ggml.model") + u32(8) + text(kind);
  file += text("tokenizer.ggml.tokens") + u32(9) + u32(8) + u64(tokens.size());
  for (const std::string& token : tokens) file += text(token);
  if (!types.empty()) file += text("tokenizer.ggml.token_type") + u32(9) + u32(5) + u64(types.size());
  for (const std::int32_t type : types) file += number(type);
  return file + std::string(32, '\0');
}

std::string read(const std::string& bytes) {
  const TemporaryFile file(".gguf");
  write_file(file.path(), bytes);
  const auto mapped = std::make_shared<const MappedFile>(file.path());
  return read_gguf_vocabulary(read_gguf_file(mapped));
}

}  // namespace

TEST_SUITE_BEGIN("io/gguf_vocabulary");

TEST_CASE("escapes of the converter of llama.cpp, which are those of Python's repr") {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"plain text", "plain text"},
      {"\\t\\n\\r\\\\", "\t\n\r\\"},
      {"\\x00\\xff\\xE4", std::string("\0\xff\xe4", 3)},
      {"\\'\\\"", "'\""},
      {"\\x41x41", "Ax41"},
      {"\\\\x41", "\\x41"},
      {"\xe4\xbd\xa0", "\xe4\xbd\xa0"},
  };
  for (const auto& each : cases) {
    CAPTURE(each.first);
    CHECK(detail::unescaped_token(each.first) == each.second);
  }
  for (const char* broken : {"\\", "a\\", "\\x", "\\x4", "\\x4g", "\\xg4", "\\x 4", "\\x-1", "\\x+1"}) {
    CAPTURE(broken);
    CHECK(!detail::unescaped_token(broken));
  }
}

TEST_CASE("tokens by id, without the end of text and padding") {
  const std::string expected = "1 b'a' 1\n2 b'[PAD]' 5\n3 b'\\x0a' 1\n";
  CHECK(read(file_with("rwkv", {"<s>", "a", "[PAD]", "\\n", "[PAD4]"}, {3, 1, 1, 1, 5})) == expected);
  CHECK(read(file_with("rwkv", {"<s>", "a"})) == "1 b'a' 1\n");
}

TEST_CASE("other vocabularies and other files have none") {
  CHECK(read(file_with("gpt2", {"<s>", "a"}, {3, 1})).empty());
  CHECK(read(file_with("rwkv", {})).empty());
  CHECK(read("GGUF" + u32(3) + u64(0) + u64(0) + std::string(32, '\0')).empty());
  CHECK(read("GGUF" + u32(3) + u64(0) + u64(1) + text("tokenizer.ggml.model") + u32(8) + text("rwkv") +
             std::string(32, '\0'))
            .empty());
}

TEST_CASE("a broken vocabulary is refused with its token") {
  CHECK_THROWS_WITH_AS(read(file_with("rwkv", {"<s>", "a\\x4"}, {3, 1})),
                       doctest::Contains("token 1: ends inside an escape: found 'a\\x4'"), FormatError);
  CHECK_THROWS_WITH_AS(read(file_with("rwkv", {"<s>", "a"}, {3})),
                       doctest::Contains("token_type: expected one for each of 2 tokens, found 1"), FormatError);
  const std::string whole = file_with("rwkv", {"<s>", "a"}, {3, 1});
  for (std::size_t n = 0; n < whole.size() - 32; ++n) {
    CAPTURE(n);
    if (n >= 4) CHECK_THROWS_AS(read(whole.substr(0, n)), FormatError);
  }
}

TEST_CASE("the vocabulary of World comes back from a file that was written with it") {
  RWKV_NEEDS_SHARED();
  const WorldTokenizer world = WorldTokenizer::load(shared_file("testdata/tokenizers/rwkv_vocab_v20230424.txt"));
  const std::string lines = read_file(shared_file("testdata/tokenizers/rwkv_vocab_v20230424.txt"));
  Checkpoint model = synthetic({Generation::v7, 1, 16, 16, 32, 2, 8, 65536, {0, 3, 5, 7, 9}}, DType::bf16, 1);
  model.metadata()[std::string(vocabulary_key)] = lines;
  const TemporaryFile file(".gguf");
  write_gguf(model, file.path());

  const WorldTokenizer again =
      WorldTokenizer::from_text(open_checkpoint(file.path()).metadata().at(std::string(vocabulary_key)), file.path());
  REQUIRE(again.n_vocab() == world.n_vocab());
  for (Token token = 0; token < world.n_vocab(); ++token) {
    if (again.bytes(token) != world.bytes(token)) FAIL("token ", token);
  }
  const std::string sample = "The (quick) brown fox \xe4\xbd\xa0\xe5\xa5\xbd\n\t'\"\\";
  CHECK(again.encode(sample) == world.encode(sample));
}

TEST_SUITE_END();
