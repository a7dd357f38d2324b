// SPDX-License-Identifier: MIT
// Byte pair encoding of bytes: the tokenizer of GPT-NeoX 20B, which RWKV-4 models of the Pile have.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/text/bpe_merges.hpp"
#include "rwkv/text/byte_trie.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A tokenizer.json of Hugging Face tokenizers that is of the kind of GPT-2: words are split by its regular expression
/// and their bytes merged pair by pair. Special tokens in a text are recognised.
///
/// What tokens spell is the text in normalisation form C if the file says so, which it does for GPT-NeoX 20B: decoding
/// what was encoded is then not always the same bytes. Bytes that are not UTF-8 are encoded as they are, but as U+FFFD
/// if they occur in no UTF-8 and the vocabulary does without them. Source: huggingface/tokenizers 0.22, whose ids these
/// are. All methods are const: share one tokenizer between threads.
class BpeTokenizer {
public:
  static constexpr std::string_view kind = "BPE";

  /// The longest added token, in bytes. Bounds the time of encode().
  static constexpr std::size_t max_added_token = 1024;

  /// Reads a tokenizer.json. Throws IoError, FormatError, and UnsupportedError for other kinds of tokenizers.
  [[nodiscard]] static BpeTokenizer load(const std::string& path);

  /// The same for the text of such a file; `path` is what messages call it.
  [[nodiscard]] static BpeTokenizer from_text(std::string_view text, const std::string& path);

  [[nodiscard]] std::vector<Token> encode(std::string_view text) const;

  /// The bytes of a token, which need not be whole characters; none for special tokens, as decoding of the reference
  /// leaves them out, and for ids that the vocabulary does not have. Valid as long as the tokenizer.
  [[nodiscard]] std::string_view bytes(Token token) const noexcept {
    if (token < 0 || token >= n_vocab()) return {};
    const std::uint32_t begin = begins_[static_cast<std::size_t>(token)];
    return {bytes_.data() + begin, begins_[static_cast<std::size_t>(token) + 1] - begin};
  }

  /// The largest id + 1.
  [[nodiscard]] Index n_vocab() const noexcept { return static_cast<Index>(begins_.size()) - 1; }

  /// The special token "<|endoftext|>", if there is one.
  [[nodiscard]] std::optional<Token> end_of_text() const noexcept { return end_of_text_; }

private:
  class Builder;

  static constexpr Token no_token = -1;

  BpeTokenizer() = default;

  void append_byte(char byte, std::vector<Token>& tokens) const;

  bool is_nfc_ = false;
  std::string bytes_;                     // of all tokens, in the order of their ids
  std::vector<std::uint32_t> begins_;     // of each token in them, and one more: the end
  std::array<Token, 256> byte_tokens_{};  // the token of each byte, or no_token
  BpeMerges merges_;
  ByteTrie added_;             // tokens that are cut out of the text first,
  ByteTrie added_normalised_;  // and those that are cut out of what is left, once it is normalised
  std::optional<Token> end_of_text_;
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <limits>

#include "rwkv/core/error.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/core/sorted_order.hpp"
#include "rwkv/text/byte_alphabet.hpp"
#include "rwkv/text/gpt2_words.hpp"
#include "rwkv/text/nfc.hpp"
#include "rwkv/text/tokenizer_json.hpp"

RWKV_NAMESPACE_BEGIN

/// Makes a tokenizer of what stands in a file, and checks that it fits together.
class BpeTokenizer::Builder {
public:
  Builder(const TokenizerJson& file, const std::string& path)
      : file_(file), path_(path), by_text_(sorted(file.vocabulary, "model.vocab")) {}

  [[nodiscard]] BpeTokenizer build() {
    tokenizer_.is_nfc_ = file_.is_nfc;
    for (const TokenizerJson::Entry& entry : file_.vocabulary) place(entry.text, entry.token, "model.vocab");
    for (std::size_t i = 0; i < file_.added.size(); ++i) place_added(i);
    check_added();
    write_bytes();
    find_byte_tokens();
    tokenizer_.merges_ = BpeMerges(find_merges(), tokenizer_.n_vocab());
    tokenizer_.added_ = make_trie(/*is_normalized=*/false);
    tokenizer_.added_normalised_ = make_trie(/*is_normalized=*/true);
    return std::move(tokenizer_);
  }

private:
  [[noreturn]] void fail(std::string_view item, std::string_view problem, std::string_view expected = "",
                         std::string_view found = "") const {
    throw FormatError({path_, item, problem, expected, found});
  }

  static std::string added_item(std::size_t i) { return "added token " + std::to_string(i); }
  static std::string id_text(Token token) { return "id " + std::to_string(token); }

  /// Views of the entries in the order of their texts, no two of which may be the same.
  [[nodiscard]] std::vector<ByteTrie::Entry> sorted(const std::vector<TokenizerJson::Entry>& entries,
                                                    std::string_view item) const {
    std::vector<ByteTrie::Entry> views;
    views.reserve(entries.size());
    for (const TokenizerJson::Entry& entry : entries) views.push_back({entry.text, entry.token});
    views = sorted_copy<ByteTrie::Entry>(views, [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
    const auto same =
        std::adjacent_find(views.begin(), views.end(), [](const auto& a, const auto& b) { return a.bytes == b.bytes; });
    if (same != views.end()) fail(item, in_quotes(same->bytes) + " occurs twice");
    return views;
  }

  /// The token of the model's vocabulary that is written so.
  [[nodiscard]] std::optional<Token> find(std::string_view text) const {
    const auto found = std::lower_bound(by_text_.begin(), by_text_.end(), text,
                                        [](const auto& entry, std::string_view value) { return entry.bytes < value; });
    if (found == by_text_.end() || found->bytes != text) return std::nullopt;
    return found->token;
  }

  /// Gives an id to a text.
  void place(const std::string& text, Token token, std::string_view item) {
    const auto i = static_cast<std::size_t>(token);
    if (i >= texts_.size()) {
      texts_.resize(i + 1);
      is_special_.resize(i + 1);
    }
    if (texts_[i] != nullptr) {
      fail(item, id_text(token) + " is that of " + in_quotes(*texts_[i]) + " and of " + in_quotes(text));
    }
    texts_[i] = &text;
  }

  void place_added(std::size_t i) {
    const TokenizerJson::AddedToken& added = file_.added[i];
    if (added.text.empty() || added.text.size() > max_added_token) {
      fail(added_item(i), "", "1 to " + std::to_string(max_added_token) + " bytes",
           std::to_string(added.text.size()) + " bytes");
    }
    if (const std::optional<Token> token = find(added.text)) {  // then it is a token of the model, too
      if (*token != added.token) {
        fail(added_item(i), in_quotes(added.text), id_text(*token) + ", as in model.vocab", id_text(added.token));
      }
    } else {
      place(added.text, added.token, added_item(i));
    }
    if (!added.is_special) return;
    is_special_[static_cast<std::size_t>(added.token)] = true;
    if (added.text == "<|endoftext|>") tokenizer_.end_of_text_ = added.token;
  }

  void check_added() const {
    std::vector<TokenizerJson::Entry> entries;
    for (const TokenizerJson::AddedToken& added : file_.added) entries.push_back({added.text, added.token});
    static_cast<void>(sorted(entries, "added_tokens"));
  }

  /// Added tokens are written in the byte alphabet, too, where they can be (ByteLevel::decode_chain of the reference).
  void write_bytes() {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      tokenizer_.begins_.push_back(static_cast<std::uint32_t>(tokenizer_.bytes_.size()));
      if (texts_[i] == nullptr || is_special_[i]) continue;
      if (!append_from_byte_alphabet(*texts_[i], tokenizer_.bytes_)) tokenizer_.bytes_ += *texts_[i];
    }
    tokenizer_.begins_.push_back(static_cast<std::uint32_t>(tokenizer_.bytes_.size()));
  }

  void find_byte_tokens() {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      std::string text;
      static_cast<void>(append_utf8(byte_alphabet[byte], text));
      tokenizer_.byte_tokens_[byte] = find(text).value_or(no_token);
      const bool is_in_utf8 = byte != 0xc0 && byte != 0xc1 && byte < 0xf5;
      if (tokenizer_.byte_tokens_[byte] != no_token || !is_in_utf8) continue;
      fail("model.vocab", "", "a token for each byte of UTF-8", "none for byte " + std::to_string(byte));
    }
  }

  [[nodiscard]] std::vector<BpeMerges::Merge> find_merges() const {
    std::vector<BpeMerges::Merge> merges;
    merges.reserve(file_.merges.size());
    const auto token = [&](const std::string& text) {
      if (const std::optional<Token> found = find(text)) return *found;
      fail("model.merges", "merge " + std::to_string(merges.size()), "tokens of model.vocab", in_quotes(text));
    };
    for (const auto& [left, right] : file_.merges) {
      merges.push_back({token(left), token(right), token(left + right)});
    }
    return merges;
  }

  [[nodiscard]] ByteTrie make_trie(bool is_normalized) const {
    std::vector<TokenizerJson::Entry> entries;
    for (const TokenizerJson::AddedToken& added : file_.added) {
      if (added.is_normalized != is_normalized) continue;
      entries.push_back({is_normalized && file_.is_nfc ? to_nfc(added.text) : added.text, added.token});
    }
    return ByteTrie(sorted(entries, "added_tokens"));
  }

  const TokenizerJson& file_;
  const std::string& path_;
  std::vector<ByteTrie::Entry> by_text_;   // the vocabulary of the model, sorted
  std::vector<const std::string*> texts_;  // by id
  std::vector<bool> is_special_;
  BpeTokenizer tokenizer_;
};

RWKV_API BpeTokenizer BpeTokenizer::load(const std::string& path) {
  const MappedFile file(path);
  return from_text({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path);
}

RWKV_API BpeTokenizer BpeTokenizer::from_text(std::string_view text, const std::string& path) {
  if (text.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw FormatError({.path = path, .expected = "a tokenizer", .found = std::to_string(text.size()) + " bytes"});
  }
  const TokenizerJson file = read_tokenizer_json(text, path);
  return Builder(file, path).build();
}

namespace detail {

/// Cuts tokens out of a text, from the left, at each place the longest; calls on_rest for each text between them.
inline void cut_out(const ByteTrie& trie, std::string_view text, std::vector<Token>& tokens,
                    FunctionRef<void(std::string_view)> on_rest) {
  std::size_t begin = 0, i = 0;
  while (i < text.size()) {
    const ByteTrie::Match match = trie.longest_match(text.substr(i));
    if (match.n_bytes == 0) {
      ++i;
      continue;
    }
    if (i > begin) on_rest(text.substr(begin, i - begin));
    tokens.push_back(match.token);
    begin = i += match.n_bytes;
  }
  if (i > begin) on_rest(text.substr(begin));
}

}  // namespace detail

RWKV_API void BpeTokenizer::append_byte(char byte, std::vector<Token>& tokens) const {
  const Token token = byte_tokens_[static_cast<unsigned char>(byte)];
  if (token != no_token) return tokens.push_back(token);
  for (const char part : {'\xef', '\xbf', '\xbd'}) append_byte(part, tokens);  // U+FFFD
}

RWKV_API std::vector<Token> BpeTokenizer::encode(std::string_view text) const {
  std::vector<Token> tokens, bytes;
  tokens.reserve(text.size() / 4 + 1);
  BpeMerges::Scratch scratch;
  const auto encode_words = [&](std::string_view rest) {
    while (!rest.empty()) {
      const std::string_view word = first_gpt2_word(rest);
      bytes.clear();
      for (const char byte : word) append_byte(byte, bytes);
      scratch.merge(merges_, bytes, tokens);
      rest.remove_prefix(word.size());
    }
  };
  detail::cut_out(added_, text, tokens, [&](std::string_view rest) {
    if (!is_nfc_) return detail::cut_out(added_normalised_, rest, tokens, encode_words);
    detail::cut_out(added_normalised_, to_nfc(rest), tokens, encode_words);
  });
  return tokens;
}

RWKV_NAMESPACE_END
#endif
