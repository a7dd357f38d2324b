// SPDX-License-Identifier: MIT
#include "rwkv/text/tokenizer_json.hpp"

#include "support/support.hpp"
#include "text/bpe_file.hpp"

using namespace rwkv;
using nlohmann::ordered_json;
using rwkv_test::small_bpe;

namespace {

/// What reading the small file says after a change of it.
template <class Change>
std::string error_after(const Change& change) {
  ordered_json json = small_bpe();
  change(json);
  try {
    static_cast<void>(read_tokenizer_json(json.dump(), "t.json"));
  } catch (const FormatError& error) {
    return std::string("FormatError ") + error.what();
  } catch (const UnsupportedError& error) {
    return std::string("UnsupportedError ") + error.what();
  }
  return "none";
}

/// The same, with a value put in the place of a JSON pointer.
std::string error_with(const std::string& place, const ordered_json& value) {
  return error_after([&](ordered_json& json) { json[ordered_json::json_pointer(place)] = value; });
}

/// The same, without what stands there.
std::string error_without(const std::string& place) {
  return error_after([&](ordered_json& json) {
    const ordered_json::json_pointer pointer(place);
    json[pointer.parent_pointer()].erase(pointer.back());
  });
}

bool is_unsupported(const std::string& error, const std::string& what) {
  CAPTURE(error);
  const bool is_so = error.starts_with("UnsupportedError t.json: " + what);
  CHECK(is_so);
  return is_so && error.find("Of the kinds of tokenizer.json only byte pair encoding") != std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("text/tokenizer_json");

TEST_CASE("what stands in a file is read, in its order and spelling") {
  const TokenizerJson file = read_tokenizer_json(small_bpe().dump(), "t.json");
  CHECK(file.is_nfc);
  REQUIRE(file.vocabulary.size() == 263);
  CHECK(file.vocabulary[' '].text == "Ġ");
  CHECK(file.vocabulary[260].text == "Ġhello");
  CHECK(file.vocabulary[260].token == 260);
  REQUIRE(file.merges.size() == 7);
  CHECK(file.merges[2] == std::pair<std::string, std::string>("he", "ll"));
  REQUIRE(file.added.size() == 2);
  CHECK(file.added[0].text == "<|endoftext|>");
  CHECK(file.added[0].token == 263);
  CHECK(file.added[0].is_special);
  CHECK_FALSE(file.added[0].is_normalized);
  CHECK_FALSE(file.added[1].is_special);
  CHECK(file.added[1].is_normalized);
}

TEST_CASE("members may come in any order") {
  const nlohmann::json sorted = nlohmann::json::parse(small_bpe().dump());  // merges before vocab
  CHECK(read_tokenizer_json(sorted.dump(), "t.json").merges.size() == 7);
}

TEST_CASE("what changes no token may be otherwise, or absent") {
  CHECK(error_with("/normalizer", nullptr) == "none");
  CHECK(error_with("/post_processor", nullptr) == "none");
  CHECK(error_with("/pre_tokenizer/use_regex", true) == "none");
  CHECK(error_with("/pre_tokenizer/trim_offsets", false) == "none");
  CHECK(error_with("/decoder/add_prefix_space", true) == "none");
  CHECK(error_with("/model/unk_token", "<|endoftext|>") == "none");
  CHECK(error_with("/model/byte_fallback", true) == "none");
  CHECK(error_with("/model/ignore_merges", false) == "none");
  CHECK(error_with("/model/end_of_word_suffix", "") == "none");
  CHECK(error_with("/added_tokens", ordered_json::array()) == "none");
  for (const char* name : {"version", "truncation", "padding", "added_tokens", "normalizer", "post_processor"}) {
    CHECK(error_without("/" + std::string(name)) == "none");
  }
  for (const char* name : {"type", "dropout", "unk_token", "fuse_unk"}) {
    CHECK(error_without("/model/" + std::string(name)) == "none");
  }
}

TEST_CASE("merges are strings, or lists of two") {
  ordered_json json = small_bpe();
  json["model"]["merges"] = {{"h", "e"}, "l l", {"a b", ""}};
  const TokenizerJson file = read_tokenizer_json(json.dump(), "t.json");
  REQUIRE(file.merges.size() == 3);
  CHECK(file.merges[0] == std::pair<std::string, std::string>("h", "e"));
  CHECK(file.merges[2] == std::pair<std::string, std::string>("a b", ""));

  const std::string expected =
      "FormatError t.json: model.merges: merge 1: expected two texts, or one with a space between two";
  const auto with = [](const ordered_json& merge) { return error_with("/model/merges/1", merge); };
  CHECK(with("ll") == expected + ", found 'll'");
  CHECK(with("l l l") == expected + ", found 'l l l'");
  CHECK(with(ordered_json::array({"l"})) == expected + ", found one");
  CHECK(with(ordered_json::array()) == expected + ", found none");
  CHECK(with({"l", "l", "l"}) == expected + ", found more");
  CHECK(with(7) == "FormatError t.json: model.merges: expected a list, found a number");
  CHECK(with({"l", 7}) == "FormatError t.json: model.merges: expected a string, found a number");
}

TEST_CASE("what would change tokens and is not done is refused") {
  const ordered_json part{{"type", "Lowercase"}};
  CHECK(is_unsupported(error_with("/version", "2.0"), "version: is not supported: expected '1.0', found '2.0'"));
  CHECK(is_unsupported(error_with("/truncation", part), "truncation: is not supported: expected null"));
  CHECK(is_unsupported(error_with("/padding", part), "padding: is not supported: expected null"));
  CHECK(
      is_unsupported(error_with("/normalizer", part), "normalizer: is not supported: expected NFC, found 'Lowercase'"));
  CHECK(is_unsupported(error_with("/pre_tokenizer", part), "pre_tokenizer: is not supported: expected ByteLevel"));
  CHECK(is_unsupported(error_with("/pre_tokenizer", nullptr),
                       "pre_tokenizer: is not supported: expected ByteLevel, found none"));
  CHECK(is_unsupported(error_without("/pre_tokenizer"),
                       "pre_tokenizer: is not supported: expected ByteLevel, found none"));
  CHECK(is_unsupported(error_with("/pre_tokenizer/add_prefix_space", true),
                       "pre_tokenizer: is not supported: expected add_prefix_space false, found true"));
  CHECK(is_unsupported(error_with("/pre_tokenizer/use_regex", false),
                       "pre_tokenizer: is not supported: expected use_regex true, found false"));
  CHECK(is_unsupported(error_with("/post_processor", part), "post_processor: is not supported"));
  CHECK(is_unsupported(error_with("/decoder", part), "decoder: is not supported"));
  CHECK(is_unsupported(error_with("/decoder", nullptr), "decoder: is not supported: expected ByteLevel, found none"));
  CHECK(is_unsupported(error_with("/model/type", "WordLevel"),
                       "model.type: is not supported: expected BPE, found 'WordLevel'"));
  CHECK(is_unsupported(error_with("/model/dropout", 0.1), "model.dropout: is not supported: expected null"));
  CHECK(is_unsupported(error_with("/model/ignore_merges", true), "model.ignore_merges: is not supported"));
  CHECK(is_unsupported(error_with("/model/end_of_word_suffix", "</w>"), "model.end_of_word_suffix: is not supported"));
  CHECK(is_unsupported(error_with("/model/continuing_subword_prefix", "##"), "model.continuing_subword_prefix: is"));
  for (const char* flag : {"single_word", "lstrip", "rstrip"}) {
    CHECK(is_unsupported(error_with("/added_tokens/1/" + std::string(flag), true),
                         "added token 1: is not supported: expected " + std::string(flag) + " false, found true"));
  }
}

TEST_CASE("members that are not known are refused, wherever they are") {
  CHECK(is_unsupported(error_with("/new", 1), "is not supported: expected a known member, found 'new'"));
  CHECK(is_unsupported(error_with("/0", "a"), "is not supported: expected a known member, found '0'"));
  CHECK(is_unsupported(error_with("/a\nb", "a"), "is not supported: expected a known member, found 'a\\x0ab'"));
  for (const std::string place : {"/normalizer", "/pre_tokenizer", "/post_processor", "/decoder"}) {
    CHECK(
        is_unsupported(error_with(place + "/new", 1), place.substr(1) + ": is not supported: expected a known member"));
  }
  CHECK(is_unsupported(error_with("/model/new", 1), "model: is not supported: expected a known member, found 'new'"));
  CHECK(
      is_unsupported(error_with("/added_tokens/0/new", 1), "added token 0: is not supported: expected a known member"));
}

TEST_CASE("what is missing is named") {
  const auto missing = [](const std::string& place) { return error_without(place); };
  CHECK(missing("/model") == "FormatError t.json: expected a member 'model', found none");
  CHECK(missing("/model/vocab") == "FormatError t.json: model: expected a member 'vocab', found none");
  CHECK(missing("/model/merges") == "FormatError t.json: model: expected a member 'merges', found none");
  CHECK(missing("/normalizer/type") == "FormatError t.json: normalizer: expected a member 'type', found none");
  CHECK(missing("/pre_tokenizer/add_prefix_space").find("a member 'add_prefix_space'") != std::string::npos);
  for (const std::string name : {"id", "content", "special", "normalized"}) {
    CHECK(missing("/added_tokens/1/" + name) ==
          "FormatError t.json: added token 1: expected a member '" + name + "', found none");
  }
}

TEST_CASE("ids are counts up to a limit") {
  CHECK(error_with("/model/vocab/he", 1048575) == "none");
  CHECK(error_with("/model/vocab/he", 1048576) ==
        "FormatError t.json: model.vocab: the id of 'he': expected 0 to 1048575, found 1048576");
  CHECK(error_with("/model/vocab/he", -1) == "FormatError t.json: model.vocab: expected a count, found -1");
  CHECK(error_with("/model/vocab/he", 1.5) == "FormatError t.json: model.vocab: expected a count, found 1.5");
  CHECK(error_with("/model/vocab/he", "1") == "FormatError t.json: model.vocab: expected a number, found a string");
  CHECK(error_with("/added_tokens/0/id", 18446744073709551615u) ==
        "FormatError t.json: added token 0: its id: expected 0 to 1048575, found 18446744073709551615");
}

TEST_CASE("values of another type are refused where they stand") {
  const auto wrong = [](const std::string& place, const ordered_json& value) { return error_with(place, value); };
  CHECK(wrong("/version", 1) == "FormatError t.json: version: expected a string, found a number");
  CHECK(wrong("/added_tokens", 1) == "FormatError t.json: added_tokens: expected a list, found a number");
  CHECK(wrong("/added_tokens/1", 1) == "FormatError t.json: added token 1: expected an object, found a number");
  CHECK(wrong("/added_tokens/1/content", 1) == "FormatError t.json: added token 1: expected a string, found a number");
  CHECK(wrong("/added_tokens/1/special", 1) ==
        "FormatError t.json: added token 1: expected true or false, found a number");
  CHECK(wrong("/normalizer", "NFC") == "FormatError t.json: normalizer: expected an object, found a string");
  CHECK(wrong("/decoder/trim_offsets", 1) == "FormatError t.json: decoder: expected true or false, found a number");
  CHECK(wrong("/model", nullptr) == "FormatError t.json: model: expected an object, found null");
  CHECK(wrong("/model/vocab", ordered_json::array()) ==
        "FormatError t.json: model.vocab: expected an object, found a list");
  CHECK(wrong("/model/merges", "h e") == "FormatError t.json: model.merges: expected a list, found a string");
}

TEST_CASE("a member twice is refused") {
  std::string text = small_bpe().dump();
  text.replace(text.find("\"padding\""), 9, "\"version\"");
  CHECK_THROWS_WITH_AS((void)read_tokenizer_json(text, "t.json"), "t.json: member 'version' occurs twice", FormatError);
}

TEST_CASE("a file that ends early is refused, wherever it does") {
  const std::string text = small_bpe().dump();
  for (std::size_t size = 0; size < text.size(); size += size < 600 ? 1 : 13) {
    CAPTURE(size);
    CHECK_THROWS_AS((void)read_tokenizer_json(text.substr(0, size), "t.json"), FormatError);
  }
  CHECK_THROWS_WITH_AS((void)read_tokenizer_json(text + "x", "t.json"), doctest::Contains("is not valid JSON at byte"),
                       FormatError);
}

TEST_SUITE_END();
