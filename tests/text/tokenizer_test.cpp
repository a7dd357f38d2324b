// SPDX-License-Identifier: MIT
#include "rwkv/text/tokenizer.hpp"

#include "support/temporary_folder.hpp"
#include "text/bpe_file.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using rwkv_test::byte_vocabulary;
using rwkv_test::shared_file;
using rwkv_test::small_bpe;
using rwkv_test::TemporaryFolder;

namespace {

Tokenizer small_world(const std::string& more = "") {
  return Tokenizer(WorldTokenizer::from_text(byte_vocabulary() + more, "small"));
}

}  // namespace

TEST_SUITE_BEGIN("text/tokenizer");

TEST_CASE("a Tokenizer does what the tokenizer in it does") {
  const Tokenizer bytes{ByteTokenizer()};
  CHECK(bytes.kind() == "bytes");
  CHECK(bytes.n_vocab() == 256);
  CHECK(bytes.encode("hi") == std::vector<Token>{'h', 'i'});
  CHECK(bytes.bytes('h') == "h");

  const Tokenizer world = small_world("257 'hi' 2\n");
  CHECK(world.kind() == "World");
  CHECK(world.n_vocab() == 258);
  CHECK(world.encode("hi!") == std::vector<Token>{257, '!' + 1});
  CHECK(world.bytes(257) == "hi");
}

TEST_CASE("copies share one vocabulary") {
  std::optional<Tokenizer> original = small_world("257 'hi' 2\n");
  const Tokenizer copy = *original;
  CHECK(copy.bytes(257).data() == original->bytes(257).data());
  original.reset();
  CHECK(copy.bytes(257) == "hi");
}

TEST_CASE("decoding joins bytes and skips ids without text") {
  const Tokenizer world = small_world("257 b'\\xe2\\x82' 2\n");
  const std::vector<Token> tokens{0, 257, 0xac + 1, 5000, -1, 'x' + 1};
  CHECK(world.decode(tokens) == "€x");
  CHECK(world.decode({}).empty());
}

TEST_CASE("byte pair encoding through a Tokenizer") {
  const Tokenizer bpe{BpeTokenizer::from_text(small_bpe().dump(), "small")};
  CHECK(bpe.kind() == "BPE");
  CHECK(bpe.n_vocab() == 265);
  CHECK(bpe.encode("hello hello<|endoftext|>") == std::vector<Token>{259, 260, 263});
  CHECK(bpe.decode(bpe.encode("hello hello<|endoftext|>")) == "hello hello");
  CHECK(bpe.bytes(260) == " hello");
}

TEST_CASE("the end of text") {
  CHECK_FALSE(Tokenizer(ByteTokenizer()).end_of_text());
  CHECK(small_world().end_of_text() == Token{0});
  CHECK(Tokenizer(BpeTokenizer::from_text(small_bpe().dump(), "small")).end_of_text() == Token{263});
}

TEST_CASE("what a file holds is told by its content, not by its name") {
  const TemporaryFolder folder;
  const auto kind_of = [&](const std::string& name, const std::string& content) {
    rwkv_test::write_file(folder / name, content);
    return std::string(load_tokenizer(folder / name).kind());
  };
  CHECK(kind_of("a.json", byte_vocabulary()) == "World");
  CHECK(kind_of("a.txt", small_bpe().dump()) == "BPE");
  CHECK(kind_of("b.vocab", " \n" + small_bpe().dump(2)) == "BPE");
  CHECK_THROWS_WITH_AS((void)kind_of("c", ""), doctest::Contains("c: some texts cannot be encoded"), FormatError);
  CHECK_THROWS_WITH_AS((void)kind_of("c", "[]"), doctest::Contains("c: line 1: expected three fields"), FormatError);
  CHECK_THROWS_WITH_AS((void)kind_of("c", "{}"), doctest::Contains("c: expected a member 'model'"), FormatError);
  CHECK_THROWS_WITH_AS((void)kind_of("c", "{\"0\": \"a\"}"), doctest::Contains("c: is not supported"),
                       UnsupportedError);
  CHECK_THROWS_WITH_AS((void)kind_of("c", std::string("\xff\xfe{\0", 4)), doctest::Contains("c: is UTF-16"),
                       UnsupportedError);
  CHECK_THROWS_AS((void)load_tokenizer(folder / "absent.json"), IoError);
}

TEST_CASE("vocabularies are found beside the model, in a fixed order") {
  const TemporaryFolder folder;
  const std::string model = folder / "model.pth";
  CHECK(find_tokenizer_files(model).empty());
  rwkv_test::write_file(folder / "notes.txt", "not a vocabulary");
  std::filesystem::create_directory(folder / "0.vocab");
  CHECK(find_tokenizer_files(model).empty());
  const std::vector<std::string> names{"rwkv_vocab_v20230424.txt", "20B_tokenizer.json", "tokenizer.json", "a.vocab",
                                       "b.vocab"};
  std::vector<std::string> expected;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    rwkv_test::write_file(folder / *name, byte_vocabulary());
    expected.insert(expected.begin(), folder / *name);
    CHECK(find_tokenizer_files(model) == expected);
  }
}

TEST_CASE("no folder, no vocabulary, no exception") {
  CHECK(find_tokenizer_files("/does/not/exist/model.pth").empty());
  CHECK_NOTHROW((void)find_tokenizer_files("model.pth"));
  CHECK_NOTHROW((void)find_tokenizer_files(""));
}

TEST_CASE("a vocabulary fits a model of its size, or padded to a multiple of at most 128") {
  const Tokenizer world = small_world();  // 257 ids
  for (const Index n_vocab : {257, 258, 260, 264, 272, 288, 320, 384}) CHECK_NOTHROW(check_vocabulary(world, n_vocab));
  for (const Index n_vocab : {0, 1, 256, 259, 383, 385, 512, 50277, 65536}) {
    CAPTURE(n_vocab);
    CHECK_THROWS_AS(check_vocabulary(world, n_vocab), ArgumentError);
  }
  const Tokenizer bytes{ByteTokenizer()};
  CHECK_NOTHROW(check_vocabulary(bytes, 256));
  for (const Index n_vocab : {255, 257, 320, 384, 50277, 65536}) {
    CHECK_THROWS_AS(check_vocabulary(bytes, n_vocab), ArgumentError);
  }
}

TEST_CASE("a vocabulary of another model is refused with the one it takes") {
  CHECK_THROWS_WITH_AS(check_vocabulary(Tokenizer(ByteTokenizer()), 65536),
                       "the tokenizer does not belong to the model: expected a vocabulary for 65536 tokens, found "
                       "bytes with 256. Models with 65536 tokens take rwkv_vocab_v20230424.txt, with 50277 or 50304 "
                       "20B_tokenizer.json, with 256 no file: their tokens are bytes.",
                       ArgumentError);
}

TEST_CASE("the tokenizer of a model: the one named, else bytes for 256, else the one beside it, else an error") {
  const TemporaryFolder folder;
  const std::string model = folder / "model.pth";
  CHECK(tokenizer_for(256, model).kind() == "bytes");
  CHECK_THROWS_WITH_AS((void)tokenizer_for(257, model), doctest::Contains("rwkv_vocab_v20230424.txt"), ArgumentError);
  CHECK_THROWS_AS((void)tokenizer_for(256, model, folder / "absent.txt"), IoError);

  rwkv_test::write_file(folder / "mine.txt", byte_vocabulary() + "257 'hi' 2\n");
  CHECK(tokenizer_for(258, model, folder / "mine.txt").n_vocab() == 258);
  CHECK_THROWS_AS((void)tokenizer_for(256, model, folder / "mine.txt"), ArgumentError);

  rwkv_test::write_file(folder / "x.vocab", byte_vocabulary());
  CHECK(tokenizer_for(256, model).kind() == "bytes");
  CHECK(tokenizer_for(257, model).kind() == "World");
  CHECK_THROWS_WITH_AS((void)tokenizer_for(65536, model), doctest::Contains("x.vocab: the tokenizer does not"),
                       ArgumentError);
}

TEST_CASE("of several vocabularies beside a model, the first that belongs to it is taken") {
  const TemporaryFolder folder;
  const std::string model = folder / "model.pth";
  rwkv_test::write_file(folder / "rwkv_vocab_v20230424.txt", byte_vocabulary() + "1000 'hi' 2\n");
  CHECK_THROWS_WITH_AS((void)tokenizer_for(265, model), doctest::Contains("found World with 1001"), ArgumentError);
  rwkv_test::write_file(folder / "20B_tokenizer.json", small_bpe().dump());
  rwkv_test::write_file(folder / "a.vocab", byte_vocabulary() + "264 'hi' 2\n");
  rwkv_test::write_file(folder / "0.vocab", "");  // it may be of another program
  CHECK(tokenizer_for(1001, model).kind() == "World");
  CHECK(tokenizer_for(265, model).kind() == "BPE");
  CHECK(tokenizer_for(272, model).kind() == "BPE");  // padded
  CHECK(tokenizer_for(265, model, folder / "a.vocab").kind() == "World");
  rwkv_test::write_file(folder / "b.vocab", byte_vocabulary() + "300 'hi' 2\n");
  CHECK(tokenizer_for(301, model).kind() == "World");  // behind 0.vocab
  CHECK_THROWS_WITH_AS((void)tokenizer_for(65536, model), doctest::Contains("rwkv_vocab_v20230424.txt: the tokenizer"),
                       ArgumentError);
}

TEST_CASE("what byte pair encoding decodes as nothing is uncounted, too") {
  const Tokenizer bpe{BpeTokenizer::from_text(small_bpe().dump(), "small")};
  CHECK(uncounted_tokens(bpe) == std::vector<Token>{'\t', ' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 263});
}

TEST_CASE("spaces, tabs and digits in order are uncounted") {
  for (const char* text : {"", " ", "\t", " \t", "0", "9", "12", "0123456789"}) CHECK(is_uncounted_text(text));
  for (const char* text : {"a", "21", "  ", "\n", "1 ", "11", " 1"}) CHECK_FALSE(is_uncounted_text(text));
  const Tokenizer world = small_world("257 '12' 2\n258 '21' 2\n300 '  ' 2\n");
  CHECK(uncounted_tokens(world) == std::vector<Token>{10, 33, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 257});
}

TEST_CASE("World: the original file belongs to models with 65536 tokens and to no other size") {
  RWKV_NEEDS_SHARED();
  const Tokenizer world = load_tokenizer(shared_file("testdata/tokenizers/rwkv_vocab_v20230424.txt"));
  CHECK_NOTHROW(check_vocabulary(world, 65536));
  for (const Index n_vocab : {256, 50277, 50304, 65529, 65535, 131072}) {
    CHECK_THROWS_AS(check_vocabulary(world, n_vocab), ArgumentError);
  }
  CHECK(world.decode(world.encode("User: hi\n\nAssistant:")) == "User: hi\n\nAssistant:");
  const std::string found = tokenizer_for(65536, shared_file("testdata/tokenizers/no-model.pth")).decode({{6699}});
  CHECK(found == "The");
}

TEST_CASE("GPT-NeoX 20B: the original file belongs to models with 50277 tokens, or 50304, and to no other size") {
  RWKV_NEEDS_SHARED();
  const Tokenizer neox = load_tokenizer(shared_file("testdata/tokenizers/20B_tokenizer.json"));
  for (const Index n_vocab : {50277, 50304}) CHECK_NOTHROW(check_vocabulary(neox, n_vocab));
  for (const Index n_vocab : {256, 50254, 50276, 50432, 65536}) {
    CHECK_THROWS_AS(check_vocabulary(neox, n_vocab), ArgumentError);
  }
  // Both vocabularies lie in this folder.
  CHECK(tokenizer_for(50277, shared_file("testdata/tokenizers/no-model.pth")).encode("Hello") ==
        std::vector<Token>{12092});
}

TEST_CASE("GPT-NeoX 20B: a World vocabulary for such a model is refused with the name of the right one") {
  RWKV_NEEDS_SHARED();
  const std::string world = shared_file("testdata/tokenizers/rwkv_vocab_v20230424.txt");
  CHECK_THROWS_WITH_AS((void)tokenizer_for(50277, "", world),
                       doctest::Contains("expected a vocabulary for 50277 tokens, found World with 65530. Models with "
                                         "65536 tokens take rwkv_vocab_v20230424.txt, with 50277 or 50304 "
                                         "20B_tokenizer.json"),
                       ArgumentError);
}

TEST_SUITE_END();
