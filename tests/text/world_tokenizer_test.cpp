// SPDX-License-Identifier: MIT
#include "rwkv/text/world_tokenizer.hpp"

#include <nlohmann/json.hpp>

#include "support/support.hpp"
#include "text/base64.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using rwkv_test::byte_vocabulary;
using rwkv_test::from_base64;
using rwkv_test::shared_file;

namespace {

WorldTokenizer with_bytes(const std::string& more) {
  return WorldTokenizer::from_text(byte_vocabulary() + more, "v.txt");
}

const WorldTokenizer& world() {
  static const WorldTokenizer tokenizer =
      WorldTokenizer::load(shared_file("testdata/tokenizers/rwkv_vocab_v20230424.txt"));
  return tokenizer;
}

std::string decode(const WorldTokenizer& tokenizer, const std::vector<Token>& tokens) {
  std::string text;
  for (const Token token : tokens) text += tokenizer.bytes(token);
  return text;
}

nlohmann::json read_json(const std::string& name) {
  return nlohmann::json::parse(rwkv_test::read_file(shared_file(name)));
}

}  // namespace

TEST_SUITE_BEGIN("text/world_tokenizer");

TEST_CASE("the longest token is taken, left to right") {
  const WorldTokenizer tokenizer = with_bytes("300 'ab' 2\n301 'abcd' 4\n302 ' c d' 4\n303 '€' 3\n");
  CHECK(tokenizer.n_vocab() == 304);
  CHECK(tokenizer.encode("abc") == std::vector<Token>{300, 'c' + 1});
  CHECK(tokenizer.encode("abcdab") == std::vector<Token>{301, 300});
  CHECK(tokenizer.encode("x c d") == std::vector<Token>{'x' + 1, 302});
  CHECK(tokenizer.encode("€\xe2\x82") == std::vector<Token>{303, 0xe2 + 1, 0x82 + 1});
  CHECK(tokenizer.encode("").empty());
}

TEST_CASE("end of text and unknown ids have no bytes") {
  const WorldTokenizer tokenizer = with_bytes("300 'ab' 2\n");
  using Limits = std::numeric_limits<Token>;
  for (const Token token : {-1, 0, 257, 299, 301, Limits::max(), Limits::min()}) {
    CHECK(tokenizer.bytes(token).empty());
  }
  CHECK(tokenizer.bytes(300) == "ab");
  CHECK(tokenizer.bytes(1) == std::string_view("\0", 1));
}

TEST_CASE("the order of lines does not matter, nor a missing last line end") {
  const std::string text = "300 'ab' 2\n" + byte_vocabulary() + "257 'abc' 3";
  const WorldTokenizer tokenizer = WorldTokenizer::from_text(text, "v.txt");
  CHECK(tokenizer.encode("ababc") == std::vector<Token>{300, 257});
}

TEST_CASE("any bytes survive encoding and decoding") {
  const WorldTokenizer tokenizer = with_bytes("300 b'\\xff\\x00' 2\n301 '\\x00\\x00' 2\n");
  Random random(3);
  for (int round = 0; round < 100; ++round) {
    std::string bytes;
    while (bytes.size() < 40) bytes += "\x00\xff\x80z"[random.next() % 4];
    CHECK(decode(tokenizer, tokenizer.encode(bytes)) == bytes);
  }
}

TEST_CASE("a bad line is refused with its number and what is wrong") {
  struct Case {
    std::string line, message;
  };
  const std::vector<Case> cases{
      {"", "line 257: expected three fields"},
      {"300", "line 257: expected three fields"},
      {"300 'ab'", "line 257: expected three fields"},
      {"x 'ab' 2", "line 257: expected an id from 1 to 1048575, found 'x'"},
      {"0 'ab' 2", "line 257: expected an id from 1"},
      {"-1 'ab' 2", "line 257: expected an id from 1"},
      {"+300 'ab' 2", "line 257: expected an id from 1"},
      {" 300 'ab' 2", "line 257: expected an id from 1"},
      {"1048576 'ab' 2", "line 257: expected an id from 1"},
      {"99999999999999999999 'ab' 2", "line 257: expected an id from 1"},
      {"300 '' 0", "line 257: expected a token of 1 to 1024 bytes"},
      {"300 'ab' 3", "line 257: wrong number of bytes: expected 2, found '3'"},
      {"300 'ab' two", "line 257: wrong number of bytes"},
      {"300 'ab' 2 ", "line 257: expected nothing after the closing quote"},
      {"300 'ab 2", "line 257: expected a closing quote, found ''ab'"},
      {"300 eval('1') 2", "line 257: expected a quoted string or bytes literal, found 'eval('1')'"},
      {"5 'ab' 2", "line 257: id 5 occurs in line 5 too"},
      {"300 'b' 1", "line 257: the token 'b' occurs in line 99 too"},
      {"300 'ab' 2\n\n301 'cd' 2", "line 258: expected three fields"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.line);
    CHECK_THROWS_WITH_AS(with_bytes(c.line + "\n"), doctest::Contains(("v.txt: " + c.message).c_str()), FormatError);
  }
}

TEST_CASE("a vocabulary that cannot encode some byte is refused") {
  CHECK_THROWS_WITH_AS((void)WorldTokenizer::from_text("", "v.txt"),
                       "v.txt: some texts cannot be encoded: expected a token for each of the 256 bytes, "
                       "found none for byte 0",
                       FormatError);
  std::string lines = byte_vocabulary();
  lines.replace(lines.find("b'\\x63' 1"), 9, "b'\\x63\\x63' 2");
  CHECK_THROWS_WITH_AS((void)WorldTokenizer::from_text(lines, "v.txt"), doctest::Contains("none for byte 99"),
                       FormatError);
}

TEST_CASE("a file that does not exist is an IoError") {
  CHECK_THROWS_AS((void)WorldTokenizer::load("/does/not/exist.txt"), IoError);
}

TEST_CASE("bad files: refused, each with its line, and nothing is executed") {
  RWKV_NEEDS_SHARED();
  struct Case {
    const char *name, *message;
  };
  for (const Case& c : {Case{"bad-escape", "line 1: expected one of the escapes"},
                        {"code", "line 2: expected a quoted"},
                        {"duplicate-id", "line 2: id 1 occurs in line 1 too"},
                        {"id-huge", "line 2: expected an id"},
                        {"missing-bytes", "a token for each of the 256 bytes"},
                        {"unterminated", "line 1: expected a closing quote"},
                        {"wrong-length", "line 2: wrong number of bytes"}}) {
    CAPTURE(c.name);
    const std::string path = shared_file(std::string("testdata/bad/vocab-") + c.name + ".txt");
    CHECK_THROWS_WITH_AS((void)WorldTokenizer::load(path), doctest::Contains(c.message), FormatError);
    CHECK_THROWS_WITH_AS((void)WorldTokenizer::load(path), doctest::Contains(path.c_str()), FormatError);
  }
  CHECK_FALSE(std::filesystem::exists("/tmp/PWNED_rwkv"));
}

TEST_CASE("files of other formats are refused") {
  RWKV_NEEDS_SHARED();
  for (const char* name : {"bad/zeros.pth", "bad/html-error-page.pth", "tokenizers/20B_tokenizer.json"}) {
    CAPTURE(name);
    CHECK_THROWS_AS((void)WorldTokenizer::load(shared_file(std::string("testdata/") + name)), FormatError);
  }
}

TEST_CASE("World: the 201 goldens of the original tokenizers") {
  RWKV_NEEDS_SHARED();
  const nlohmann::json goldens = read_json("testdata/tokenizers/world-goldens.json");
  REQUIRE(goldens["cases"].size() == 201);
  for (const auto& golden : goldens["cases"]) {
    const std::string bytes = from_base64(golden["bytes_b64"]);
    CAPTURE(in_quotes(bytes));
    const std::vector<Token> tokens = world().encode(bytes);
    CHECK(tokens == golden["ids"].get<std::vector<Token>>());
    CHECK(decode(world(), tokens) == bytes);
  }
}

TEST_CASE("World: the goldens of the specification") {
  RWKV_NEEDS_SHARED();
  const nlohmann::json goldens = read_json("spec/golden/tokenizer_cases.json");
  REQUIRE(goldens.size() == 40);
  for (const auto& golden : goldens) {
    const std::string text = golden["text"];
    CAPTURE(in_quotes(text));
    CHECK(world().encode(text) == golden["world"].get<std::vector<Token>>());
  }
}

TEST_CASE("World: facts about the vocabulary") {
  RWKV_NEEDS_SHARED();
  CHECK(world().n_vocab() == 65530);
  std::size_t longest = 0;
  Index n_not_utf8 = 0;
  for (Token token = 1; token < 65530; ++token) {
    const std::string_view bytes = world().bytes(token);
    REQUIRE(world().encode(bytes) == std::vector<Token>{token});
    longest = std::max(longest, bytes.size());
    n_not_utf8 += is_utf8(bytes) ? 0 : 1;
  }
  CHECK(longest == 128);
  CHECK(n_not_utf8 == 486);
  CHECK(world().bytes(0).empty());
  CHECK(world().bytes(65530).empty());
  CHECK(world().bytes(261) == "\n\n");
}

TEST_CASE("World: a copy of the file with CR LF is the same vocabulary") {
  RWKV_NEEDS_SHARED();
  std::string text;
  for (const char c : rwkv_test::read_file(shared_file("testdata/tokenizers/rwkv_vocab_v20230424.txt"))) {
    if (c == '\n') text += '\r';
    text += c;
  }
  const WorldTokenizer crlf = WorldTokenizer::from_text(text, "crlf");
  REQUIRE(crlf.n_vocab() == world().n_vocab());
  for (Token token = 0; token < world().n_vocab(); ++token) REQUIRE(crlf.bytes(token) == world().bytes(token));
  CHECK(crlf.encode("\r\n\r\nHello, world!\r") == world().encode("\r\n\r\nHello, world!\r"));
}

TEST_CASE("World: every truncated or damaged file is a vocabulary or a FormatError") {
  RWKV_NEEDS_SHARED();
  const std::string text = rwkv_test::read_file(shared_file("testdata/tokenizers/rwkv_vocab_v20230424.txt"));
  Random random(11);
  for (int round = 0; round < 200; ++round) {
    std::string damaged = text.substr(0, 9000);
    if (round % 2 == 0) damaged.resize(random.next() % damaged.size());
    for (int i = 0; i < 3; ++i) damaged[random.next() % damaged.size()] = static_cast<char>(random.next() & 0xff);
    try {
      const WorldTokenizer tokenizer = WorldTokenizer::from_text(damaged, "damaged");
      CHECK(decode(tokenizer, tokenizer.encode(damaged)) == damaged);
    } catch (const FormatError& error) {
      CHECK(std::string(error.what()).starts_with("damaged: "));
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
}
TEST_CASE("World: tokens have a limit, so that encoding takes linear time") {
  const auto with = [](std::size_t size) {
    return rwkv_test::byte_vocabulary() + "300 '" + std::string(size, 'a') + "' " + std::to_string(size) + "\n";
  };
  CHECK(WorldTokenizer::from_text(with(1024), "test").encode(std::string(1024, 'a')) == std::vector<Token>{300});
  CHECK_THROWS_WITH_AS(static_cast<void>(WorldTokenizer::from_text(with(1025), "test")),
                       doctest::Contains("line 257: expected a token of 1 to 1024 bytes, found 1025 bytes"),
                       FormatError);
}

TEST_SUITE_END();
