// SPDX-License-Identifier: MIT
// The file tokenizer.json of Hugging Face tokenizers, as far as it describes byte pair encoding of bytes.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/json.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// What stands in such a file, in its order and its spelling; nothing has been looked up yet.
struct TokenizerJson {
  /// The largest id that is accepted, so that a short hostile file cannot ask for large tables.
  static constexpr Token max_id = (1 << 20) - 1;

  /// A text and the token it becomes.
  struct Entry {
    std::string text;
    Token token;
  };
  /// A text that is found before anything else.
  struct AddedToken {
    std::string text;
    Token token;
    bool is_special, is_normalized;
  };

  bool is_nfc = false;                 ///< texts are normalised
  std::vector<Entry> vocabulary = {};  ///< texts in the byte alphabet
  std::vector<std::pair<std::string, std::string>> merges = {};
  std::vector<AddedToken> added = {};
};

namespace detail {

class TokenizerJsonReader {
public:
  TokenizerJsonReader(std::string_view text, std::string_view path) : path_(path), json_(path, "", text) {}

  /// Call it once.
  [[nodiscard]] TokenizerJson read() {
    bool splits_words = false, decodes_bytes = false;
    const auto seen = members([&](const std::string& name) {
      bool is_known = true;
      name_part(name);
      if (name == "version") {
        if (const std::string version = json_.string(); version != "1.0") refuse("'1.0'", in_quotes(version));
      } else if (name == "truncation" || name == "padding") {
        if (!take_null()) refuse("null", "an object");
      } else if (name == "added_tokens") {
        json_.list([this] { read_added_token(); });
      } else if (name == "normalizer") {
        file_.is_nfc = read_part("NFC", {});
      } else if (name == "pre_tokenizer") {
        splits_words =
            read_part("ByteLevel", {{"add_prefix_space", false, true}, {"trim_offsets"}, {"use_regex", true}});
      } else if (name == "post_processor") {  // this one changes nothing but offsets
        static_cast<void>(read_part("ByteLevel", {{"add_prefix_space"}, {"trim_offsets"}, {"use_regex"}}));
      } else if (name == "decoder") {
        decodes_bytes = read_part("ByteLevel", {{"add_prefix_space"}, {"trim_offsets"}, {"use_regex"}});
      } else if (name == "model") {
        read_model();
      } else {
        is_known = false;
      }
      name_part("");
      return is_known;
    });
    json_.end();
    need(seen, "model");
    name_part("pre_tokenizer");
    if (!splits_words) refuse("ByteLevel", "none");
    name_part("decoder");
    if (!decodes_bytes) refuse("ByteLevel", "none");
    return std::move(file_);
  }

private:
  /// A member that is true or false, which of them is supported (default: both), and whether it must be there.
  struct Flag {
    std::string_view name;
    std::optional<bool> required = {};
    bool is_needed = false;
  };

  /// What messages call that which is being read.
  void name_part(const std::string& name) {
    part_ = name;
    json_.set_item(name);
  }

  [[noreturn]] void fail(std::string_view problem, std::string_view expected = "", std::string_view found = "") const {
    throw FormatError({path_, part_, problem, expected, found});
  }
  [[noreturn]] void refuse(std::string_view expected, std::string_view found) const {
    throw UnsupportedError({path_, part_, "is not supported", expected, found,
                            "Of the kinds of tokenizer.json only byte pair encoding of bytes as for GPT-2 and GPT-NeoX "
                            "(20B_tokenizer.json) is read."});
  }

  [[nodiscard]] bool take_null() {
    if (json_.kind() != JsonReader::Kind::null) return false;
    json_.skip();
    return true;
  }

  /// Reads an object whose members all have different names: read_member(name) returns false for those that it does not
  /// know. Returns the names.
  std::vector<std::string> members(FunctionRef<bool(const std::string&)> read_member) {
    std::vector<std::string> seen;
    json_.object([&](const std::string& name) {
      if (std::find(seen.begin(), seen.end(), name) != seen.end()) fail("member " + in_quotes(name) + " occurs twice");
      seen.push_back(name);
      if (!read_member(name)) refuse("a known member", in_quotes(name));
    });
    return seen;
  }

  void need(const std::vector<std::string>& seen, std::string_view name) const {
    if (std::find(seen.begin(), seen.end(), name) == seen.end()) fail("", "a member " + in_quotes(name), "none");
  }

  void read_flag(const Flag& flag) {
    const bool value = json_.truth_value();
    if (flag.required.value_or(value) == value) return;
    const std::string name(flag.name);
    refuse(name + (value ? " false" : " true"), value ? "true" : "false");
  }

  /// Reads null, or {"type": type, flags}. Returns whether it was the second.
  bool read_part(std::string_view type, std::initializer_list<Flag> flags) {
    if (take_null()) return false;
    const auto seen = members([&](const std::string& name) {
      if (name == "type") {
        if (const std::string found = json_.string(); found != type) refuse(type, in_quotes(found));
        return true;
      }
      const auto flag = std::find_if(flags.begin(), flags.end(), [&](const Flag& f) { return f.name == name; });
      if (flag == flags.end()) return false;
      read_flag(*flag);
      return true;
    });
    need(seen, "type");
    for (const Flag& flag : flags) {
      if (flag.is_needed) need(seen, flag.name);
    }
    return true;
  }

  /// The id of a text of the vocabulary, or of what has no text yet.
  [[nodiscard]] Token read_id(std::string_view text) {
    const std::uint64_t id = json_.count();
    if (id > static_cast<std::uint64_t>(TokenizerJson::max_id)) {
      fail(text.empty() ? "its id" : "the id of " + in_quotes(text), "0 to " + std::to_string(TokenizerJson::max_id),
           std::to_string(id));
    }
    return static_cast<Token>(id);
  }

  void read_added_token() {
    name_part("added token " + std::to_string(file_.added.size()));
    TokenizerJson::AddedToken token{};
    const auto seen = members([&](const std::string& name) {
      if (name == "id") {
        token.token = read_id("");
      } else if (name == "content") {
        token.text = json_.string();
      } else if (name == "special") {
        token.is_special = json_.truth_value();
      } else if (name == "normalized") {
        token.is_normalized = json_.truth_value();
      } else if (name == "single_word" || name == "lstrip" || name == "rstrip") {
        read_flag({name, false});
      } else {
        return false;
      }
      return true;
    });
    for (const char* name : {"id", "content", "special", "normalized"}) need(seen, name);
    file_.added.push_back(std::move(token));
  }

  void read_model() {
    const auto seen = members([this](const std::string& name) {
      bool is_known = true;
      name_part("model." + name);
      if (name == "type") {
        if (const std::string type = json_.string(); type != "BPE") refuse("BPE", in_quotes(type));
      } else if (name == "vocab") {
        json_.object([this](const std::string& text) { file_.vocabulary.push_back({text, read_id(text)}); });
      } else if (name == "merges") {
        json_.list([this] { read_merge(); });
      } else if (name == "dropout") {
        if (!take_null()) refuse("null", "something else");
      } else if (name == "continuing_subword_prefix" || name == "end_of_word_suffix") {
        if (!take_null() && !json_.string().empty()) refuse("nothing", "a text");
      } else if (name == "ignore_merges") {
        read_flag({name, false});
      } else if (name == "unk_token" || name == "fuse_unk" || name == "byte_fallback") {
        json_.skip();  // about bytes without a token: a vocabulary without all bytes is refused
      } else {
        is_known = false;
      }
      name_part("model");
      return is_known;
    });
    need(seen, "vocab");
    need(seen, "merges");
  }

  /// "a b" or ["a", "b"].
  void read_merge() {
    constexpr const char* expected = "two texts, or one with a space between two";
    auto& merge = file_.merges.emplace_back();
    if (json_.kind() == JsonReader::Kind::string) {
      const std::string both = json_.string();
      const std::size_t space = both.find(' ');
      if (space == both.npos || space != both.rfind(' ')) fail_merge(expected, in_quotes(both));
      merge = {both.substr(0, space), both.substr(space + 1)};
      return;
    }
    int n = 0;
    json_.list([&] {
      if (++n > 2) fail_merge(expected, "more");
      (n == 1 ? merge.first : merge.second) = json_.string();
    });
    if (n < 2) fail_merge(expected, n == 0 ? "none" : "one");
  }

  [[noreturn]] void fail_merge(std::string_view expected, std::string_view found) const {
    fail("merge " + std::to_string(file_.merges.size() - 1), expected, found);
  }

  std::string_view path_;
  std::string part_;
  JsonReader json_;
  TokenizerJson file_;
};

}  // namespace detail

/// Reads the text of a tokenizer.json; `path` is what messages call it. Throws FormatError, and UnsupportedError for
/// whatever would change tokens and is not done by this library, known to it or not.
[[nodiscard]] inline TokenizerJson read_tokenizer_json(std::string_view text, std::string_view path) {
  return detail::TokenizerJsonReader(text, path).read();
}

RWKV_NAMESPACE_END
