// SPDX-License-Identifier: MIT
#include "rwkv/text/bpe_tokenizer.hpp"

#include <thread>

#include "rwkv/core/error.hpp"
#include "rwkv/core/utf8.hpp"

#include "support/support.hpp"
#include "text/base64.hpp"
#include "text/bpe_file.hpp"

using namespace rwkv;
using nlohmann::ordered_json;
using rwkv_test::added_token;
using rwkv_test::from_base64;
using rwkv_test::shared_file;
using rwkv_test::small_bpe;

namespace {

using Tokens = std::vector<Token>;

BpeTokenizer make(const ordered_json& json) { return BpeTokenizer::from_text(json.dump(), "t.json"); }

/// The small tokenizer with these added tokens in place of its own.
BpeTokenizer with_added(const std::vector<ordered_json>& added) {
  ordered_json json = small_bpe();
  json["added_tokens"] = added;
  return make(json);
}

const BpeTokenizer& neox() {
  static const BpeTokenizer tokenizer = BpeTokenizer::load(shared_file("testdata/tokenizers/20B_tokenizer.json"));
  return tokenizer;
}

std::string decode(const BpeTokenizer& tokenizer, const Tokens& tokens) {
  std::string text;
  for (const Token token : tokens) text += tokenizer.bytes(token);
  return text;
}

/// What decoding leaves of a text in which special tokens were recognised.
std::string without_special(std::string text) {
  for (const std::string special : {"<|endoftext|>", "<|padding|>"}) {
    for (auto at = text.find(special); at != text.npos; at = text.find(special)) text.erase(at, special.size());
  }
  return text;
}

nlohmann::json read_json(const std::string& name) {
  return nlohmann::json::parse(rwkv_test::read_file(shared_file(name)));
}

}  // namespace

TEST_SUITE_BEGIN("text/bpe_tokenizer");

TEST_CASE("words are merged by themselves, pair by pair") {
  const BpeTokenizer tokenizer = make(small_bpe());
  CHECK(tokenizer.n_vocab() == 265);
  CHECK(tokenizer.encode("hello") == Tokens{259});
  CHECK(tokenizer.encode("hello hello") == Tokens{259, 260});
  CHECK(tokenizer.encode("shell,hel") == Tokens{'s', 258, ',', 256, 'l'});
  CHECK(tokenizer.encode("he\nllo") == Tokens{256, '\n', 257, 'o'});
  CHECK(tokenizer.encode("").empty());
}

TEST_CASE("ids without text have no bytes, nor have special tokens") {
  const BpeTokenizer tokenizer = make(small_bpe());
  using Limits = std::numeric_limits<Token>;
  for (const Token token : {-1, 263, 265, Limits::max(), Limits::min()}) CHECK(tokenizer.bytes(token).empty());
  CHECK(tokenizer.bytes(' ') == " ");
  CHECK(tokenizer.bytes(0xff) == "\xff");
  CHECK(tokenizer.bytes(260) == " hello");
  CHECK(tokenizer.bytes(264) == "  ");
  CHECK(with_added({added_token(300, "xx", false, false)}).bytes(299).empty());
}

TEST_CASE("the end of text is the special token of that name") {
  CHECK(make(small_bpe()).end_of_text() == Token{263});
  CHECK_FALSE(with_added({}).end_of_text());
  CHECK_FALSE(with_added({added_token(263, "<|endoftext|>", false, false)}).end_of_text());
}

TEST_CASE("added tokens are cut out of the text, the leftmost first, the longest of those") {
  const BpeTokenizer tokenizer =
      with_added({added_token(300, "<a>", true, false), added_token(301, "<a><a>", true, false),
                  added_token(302, "a><", false, false), added_token('l', "l", false, false)});
  CHECK(tokenizer.encode("<a>") == Tokens{300});
  CHECK(tokenizer.encode("<a><a><a>") == Tokens{301, 300});
  CHECK(tokenizer.encode("a><a>") == Tokens{302, 'a', '>'});
  CHECK(tokenizer.encode("hello") == Tokens{256, 'l', 'l', 'o'});  // they come before merges
  CHECK(tokenizer.encode("<a") == Tokens{'<', 'a'});
  CHECK(decode(tokenizer, tokenizer.encode("he<a>llo")) == "hello");
}

TEST_CASE("a text between added tokens is split into words by itself") {
  const BpeTokenizer tokenizer = make(small_bpe());
  CHECK(tokenizer.encode("   hello") == Tokens{264, 260});
  CHECK(tokenizer.encode("hello  hello") == Tokens{259, 264, 259});
  CHECK(tokenizer.encode("\n \nx") == Tokens{'\n', ' ', '\n', 'x'});
  CHECK(tokenizer.encode("he<|endoftext|>llo") == Tokens{256, 263, 257, 'o'});
}

TEST_CASE("a text is normalised after those added tokens that are not, and before those that are") {
  const std::string decomposed = "c\u0327";  // ç
  const BpeTokenizer raw = with_added({added_token(300, decomposed, false, false)});
  CHECK(raw.encode("xç") == Tokens{'x', 261});
  CHECK(raw.encode("x" + decomposed) == Tokens{'x', 300});
  const BpeTokenizer normal = with_added({added_token(300, decomposed, false, true)});  // its text is normalised, too
  CHECK(normal.encode("xç") == Tokens{'x', 300});
  CHECK(normal.encode("x" + decomposed) == Tokens{'x', 300});
  const BpeTokenizer cut = with_added({added_token('c', "c", false, false)});
  CHECK(cut.encode(decomposed) == Tokens{'c', 0xcc, 0xa7});
}

TEST_CASE("without a normalizer a text stays as it is") {
  ordered_json json = small_bpe();
  CHECK(make(json).encode("c\u0327") == Tokens{261});
  json["normalizer"] = nullptr;
  CHECK(make(json).encode("c\u0327") == Tokens{'c', 0xcc, 0xa7});
  CHECK(make(json).encode("ç") == Tokens{261});
}

TEST_CASE("a token may end inside a character") {
  const BpeTokenizer tokenizer = make(small_bpe());
  const Tokens tokens = tokenizer.encode(" é");
  CHECK(tokens == Tokens{262, 0xa9});
  std::string text;
  Utf8Stream stream;
  stream.push(tokenizer.bytes(tokens[0]), text);
  CHECK(text == " ");
  stream.push(tokenizer.bytes(tokens[1]), text);
  CHECK(text == " é");
}

TEST_CASE("added tokens are decoded by the byte alphabet where they can be, as in the reference") {
  const BpeTokenizer tokenizer =
      with_added({added_token(300, "éé", false, false), added_token(301, "éé ", false, false)});
  CHECK(tokenizer.bytes(300) == "\xe9\xe9");
  CHECK(tokenizer.bytes(301) == "éé ");
}

TEST_CASE("any bytes survive encoding and decoding") {
  const BpeTokenizer tokenizer = make(small_bpe());
  std::string all(256, '\0');
  for (std::size_t byte = 0; byte < 256; ++byte) all[byte] = static_cast<char>(static_cast<unsigned char>(byte));
  CHECK(decode(tokenizer, tokenizer.encode(all)) == all);
  const std::string some("\x00\xff\x80 hel\xc3\xa7o", 10);
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    std::string bytes;
    while (bytes.size() < 40) bytes += some[random.next() % some.size()];
    CHECK(decode(tokenizer, tokenizer.encode(bytes)) == bytes);
  }
}

TEST_CASE("a vocabulary may lack bytes that occur in no UTF-8, which then become U+FFFD, but no others") {
  ordered_json json = small_bpe();
  for (const std::size_t byte : {0xc0u, 0xc1u, 0xf5u, 0xffu})
    json["model"]["vocab"].erase(rwkv_test::byte_letter(byte));
  CHECK(make(json).encode("a\xff\xc0z") == Tokens{'a', 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd, 'z'});
  CHECK(make(json).encode("\xf6") == Tokens{0xf6});
  json["model"]["vocab"].erase(rwkv_test::byte_letter(0xc2));
  CHECK_THROWS_WITH_AS(
      make(json), "t.json: model.vocab: expected a token for each byte of UTF-8, found none for byte 194", FormatError);
}

TEST_CASE("parts of a file that do not fit together are refused by name") {
  const auto error = [](const std::string& place, const ordered_json& value) {
    ordered_json json = small_bpe();
    json[ordered_json::json_pointer(place)] = value;
    try {
      (void)make(json);
    } catch (const FormatError& caught) {
      return std::string(caught.what());
    }
    return std::string();
  };
  CHECK(error("/model/vocab/new", 1048575).empty());
  CHECK(error("/model/vocab/new", 258) == "t.json: model.vocab: id 258 is that of 'hell' and of 'new'");
  CHECK(error("/model/vocab/new", 264) == "t.json: added token 1: id 264 is that of 'new' and of '  '");
  CHECK(error("/added_tokens/1/id", 263) == "t.json: added token 1: id 263 is that of '<|endoftext|>' and of '  '");
  CHECK(error("/added_tokens/1/content", "<|endoftext|>") == "t.json: added_tokens: '<|endoftext|>' occurs twice");
  CHECK(error("/added_tokens/1/content", "") == "t.json: added token 1: expected 1 to 1024 bytes, found 0 bytes");
  CHECK(error("/added_tokens/1/content", std::string(1024, 'a')).empty());
  CHECK(error("/added_tokens/1/content", std::string(1025, 'a')) ==
        "t.json: added token 1: expected 1 to 1024 bytes, found 1025 bytes");
  CHECK(error("/model/vocab/<|endoftext|>", 300) ==
        "t.json: added token 0: '<|endoftext|>': expected id 300, as in model.vocab, found id 263");
  CHECK(error("/model/merges/0", "h x") == "t.json: model.merges: merge 0: expected tokens of model.vocab, found 'hx'");
  CHECK(error("/model/merges/3", "hell €") ==
        "t.json: model.merges: merge 3: expected tokens of model.vocab, found '€'");
  CHECK(error("/model/merges/3", "hell ") == "t.json: model.merges: merge 3: expected tokens of model.vocab, found ''");
  CHECK(error("/model/vocab", ordered_json::object()) ==
        "t.json: model.vocab: expected a token for each byte of UTF-8, found none for byte 0");
}

TEST_CASE("a token of the vocabulary twice is refused") {
  std::string text = small_bpe().dump();
  const std::string twice = "\"hell\":258,";
  text.insert(text.find(twice), "\"hell\":400,");
  CHECK_THROWS_WITH_AS((void)BpeTokenizer::from_text(text, "t.json"), "t.json: model.vocab: 'hell' occurs twice",
                       FormatError);
}

TEST_CASE("added tokens that are the same once they are normalised are refused") {
  const auto twice = [](bool is_normalized) {
    return with_added({added_token(300, "cç", false, true), added_token(301, "cc\u0327", false, is_normalized)});
  };
  CHECK_THROWS_WITH_AS(twice(true), "t.json: added_tokens: 'cç' occurs twice", FormatError);
  CHECK(twice(false).encode("cçcc\u0327") == Tokens{300, 301});
}

TEST_CASE("a token of the model may be an added one, too") {
  ordered_json json = small_bpe();
  json["model"]["vocab"]["<|endoftext|>"] = 263;
  CHECK(make(json).encode("x<|endoftext|>") == Tokens{'x', 263});
  CHECK(make(json).bytes(263).empty());
}

TEST_CASE("a file that does not exist is an IoError, and one of another kind is refused") {
  CHECK_THROWS_AS((void)BpeTokenizer::load("/does/not/exist.json"), IoError);
  CHECK_THROWS_WITH_AS((void)BpeTokenizer::from_text("", "t.json"), "t.json: is not valid JSON at byte 0", FormatError);
  CHECK_THROWS_WITH_AS((void)BpeTokenizer::from_text("1 'a' 1\n", "t.json"), doctest::Contains("expected an object"),
                       FormatError);
  CHECK_THROWS_WITH_AS((void)BpeTokenizer::from_text("\xff\xfe{\0", "t.json"), "t.json: is not UTF-8", FormatError);
}

TEST_CASE("damaged files are refused in one line, or work") {
  const std::string text = small_bpe().dump();
  Random random(4);
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = text;
    for (int i = 0; i < 2; ++i) damaged[random.next() % damaged.size()] = static_cast<char>(random.next() & 0x7f);
    CAPTURE(round);
    try {
      const BpeTokenizer tokenizer = BpeTokenizer::from_text(damaged, "damaged");
      CHECK(tokenizer.n_vocab() >= 256);
      static_cast<void>(tokenizer.encode(text));
    } catch (const Error& error) {
      CHECK(std::string(error.what()).starts_with("damaged: "));
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("20B: the 167 goldens of Hugging Face tokenizers") {
  RWKV_NEEDS_SHARED();
  const nlohmann::json goldens = read_json("testdata/tokenizers/20b-goldens.json");
  REQUIRE(goldens["cases"].size() == 167);
  for (const auto& golden : goldens["cases"]) {
    const std::string bytes = from_base64(golden["bytes_b64"]);
    CAPTURE(in_quotes(bytes));
    const Tokens tokens = neox().encode(bytes);
    CHECK(tokens == golden["ids"].get<Tokens>());
    CHECK(decode(neox(), tokens) == without_special(from_base64(golden["decoded_b64"])));
  }
}

TEST_CASE("20B: the goldens of the specification") {
  RWKV_NEEDS_SHARED();
  const nlohmann::json goldens = read_json("spec/golden/tokenizer_cases.json");
  REQUIRE(goldens.size() == 40);
  for (const auto& golden : goldens) {
    const std::string text = golden["text"];
    CAPTURE(in_quotes(text));
    CHECK(neox().encode(text) == golden["neox20b"].get<Tokens>());
  }
}

TEST_CASE("20B: facts about the vocabulary") {
  RWKV_NEEDS_SHARED();
  CHECK(neox().n_vocab() == 50277);
  CHECK(neox().end_of_text() == Token{0});
  for (const Token token : {0, 1, 50277}) CHECK(neox().bytes(token).empty());
  CHECK(neox().bytes(187) == "\n");
  CHECK(neox().bytes(535) == "\n\n");
  CHECK(neox().bytes(50276) == "  ");
  CHECK(neox().bytes(50254) == std::string(24, ' '));
  CHECK(neox().encode("<|endoftext|><|padding|>") == Tokens{0, 1});
  Index n_without_bytes = 0;
  for (Token token = 0; token < 50277; ++token) n_without_bytes += neox().bytes(token).empty() ? 1 : 0;
  CHECK(n_without_bytes == 2);
}

TEST_CASE("20B: a text in many languages survives, also when it is decoded token by token") {
  RWKV_NEEDS_SHARED();
  const nlohmann::json goldens = read_json("testdata/tokenizers/20b-goldens.json");
  std::string text;
  for (const auto& golden : goldens["cases"]) {
    if (golden["decode_equals_input"]) text += from_base64(golden["bytes_b64"]) + "\n";
  }
  text = without_special(text);
  const Tokens tokens = neox().encode(text);
  CHECK(decode(neox(), tokens) == text);
  std::string streamed;
  Utf8Stream stream;
  for (const Token token : tokens) {
    stream.push(neox().bytes(token), streamed);
    REQUIRE(is_utf8(streamed));
  }
  CHECK(streamed == text);
}

TEST_CASE("20B: long words and long runs take no quadratic time") {
  RWKV_NEEDS_SHARED();
  constexpr std::size_t n = 1 << 20;
  const Tokens letters = neox().encode(std::string(n, 'a'));
  CHECK(decode(neox(), letters) == std::string(n, 'a'));
  CHECK(letters.size() < n / 4);
  CHECK(neox().encode(std::string(24 * 40000, ' ')) == Tokens(40000, 50254));
  CHECK(decode(neox(), neox().encode(std::string(n, '\n'))) == std::string(n, '\n'));
  CHECK(decode(neox(), neox().encode(std::string(n, '<'))) == std::string(n, '<'));
  CHECK(decode(neox(), neox().encode(std::string(n, '\xff'))).size() == 3 * n);
}

TEST_CASE("20B: threads share one tokenizer") {
  RWKV_NEEDS_SHARED();
  const std::string text = rwkv_test::read_file(rwkv_test::fixture("fairy-tales.txt"));
  const Tokens expected = neox().encode(text);
  std::vector<Tokens> found(4);
  std::vector<std::thread> threads;
  for (Tokens& tokens : found) threads.emplace_back([&] { tokens = neox().encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const Tokens& tokens : found) CHECK(tokens == expected);
  CHECK(decode(neox(), expected) == text);
}

TEST_CASE("20B: a file that was cut short is refused") {
  RWKV_NEEDS_SHARED();
  const std::string text = rwkv_test::read_file(shared_file("testdata/tokenizers/20B_tokenizer.json"));
  for (const std::size_t size : {text.size() / 4, text.size() / 2, text.size() - 3}) {
    CHECK_THROWS_WITH_AS((void)BpeTokenizer::from_text(text.substr(0, size), "cut.json"),
                         doctest::Contains("cut.json: "), FormatError);
  }
}

TEST_SUITE_END();
