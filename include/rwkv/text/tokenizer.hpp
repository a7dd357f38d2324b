// SPDX-License-Identifier: MIT
// One type over the kinds of tokenizers, and how the right one for a model is found.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/text/bpe_tokenizer.hpp"
#include "rwkv/text/byte_tokenizer.hpp"
#include "rwkv/text/world_tokenizer.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Text to tokens and back. Immutable and cheap to copy (copies share the vocabulary); share it between threads.
///
/// Encoding is not stable under concatenation: encode a prompt at once, not in pieces.
class Tokenizer {
public:
  using Kinds = std::variant<ByteTokenizer, WorldTokenizer, BpeTokenizer>;

  explicit Tokenizer(Kinds tokenizer);

  [[nodiscard]] std::vector<Token> encode(std::string_view text) const;

  /// The bytes of the tokens, one after the other. They need not be UTF-8: see Utf8Stream and to_utf8.
  [[nodiscard]] std::string decode(std::span<const Token> tokens) const;

  /// The bytes of one token; none for special ones, such as the end of text, and for ids that do not exist.
  /// Valid as long as a copy of this tokenizer.
  [[nodiscard]] std::string_view bytes(Token token) const noexcept;

  /// The largest id + 1.
  [[nodiscard]] Index n_vocab() const noexcept;

  /// The token that ends a document and may begin one; none for bytes, and where a vocabulary has none.
  [[nodiscard]] std::optional<Token> end_of_text() const noexcept;

  /// "bytes", "World" or "BPE".
  [[nodiscard]] std::string_view kind() const noexcept;

private:
  std::shared_ptr<const Kinds> kinds_;
};

/// Reads a vocabulary file: a tokenizer.json of byte pair encoding if it begins with a brace, else in the World format.
/// Throws IoError, FormatError, and UnsupportedError for files of other tokenizers.
[[nodiscard]] RWKV_API Tokenizer load_tokenizer(const std::string& path);

/// The vocabulary files in the folder of a model, which may be the folder itself: rwkv_vocab_v20230424.txt,
/// 20B_tokenizer.json, tokenizer.json, then all *.vocab in the order of their names. Empty if there are none, or no such
/// folder.
[[nodiscard]] RWKV_API std::vector<std::string> find_tokenizer_files(const std::string& model_path);

/// Refuses a tokenizer that does not belong to a model with `n_vocab` rows in its embedding.
///
/// The two belong together if n_vocab is the tokenizer's, or that rounded up to a multiple of 2, 4, .. 128: trainers
/// pad the embedding (World has 65530 ids and models 65536 rows, GPT-NeoX 50277 and sometimes 50304). Equal sizes prove
/// nothing, but known vocabularies differ by more. `path` is the tokenizer's file, for the message.
/// Throws ArgumentError.
RWKV_API void check_vocabulary(const Tokenizer& tokenizer, Index n_vocab, const std::string& path = {});

/// The tokenizer of a model with `n_vocab` tokens: `tokenizer_path` if it is given; else bytes if there are 256 tokens;
/// else the first file beside the model (find_tokenizer_files) that can be read and belongs to it. Throws as
/// load_tokenizer and check_vocabulary, if none does for the first of them, and ArgumentError if there is no file.
[[nodiscard]] RWKV_API Tokenizer tokenizer_for(Index n_vocab, const std::string& model_path,
                                               const std::string& tokenizer_path = {});

/// Whether PIPELINE.generate of pip rwkv (BlinkDL/ChatRWKV) leaves the count of a token with this text alone: it is
/// part of " \t0123456789", so that spaces and digits may repeat.
[[nodiscard]] constexpr bool is_uncounted_text(std::string_view text) noexcept {
  return std::string_view(" \t0123456789").find(text) != std::string_view::npos;
}

/// The tokens that is_uncounted_text is true for, for Sampler::set_uncounted. Of ids without bytes it is true for those
/// of byte pair encoding, which the original decodes as nothing, not for those of World: it decodes them as U+FFFD.
[[nodiscard]] RWKV_API std::vector<Token> uncounted_tokens(const Tokenizer& tokenizer);

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <filesystem>
#include <system_error>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/core/sorted_order.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API Tokenizer::Tokenizer(Kinds tokenizer) : kinds_(std::make_shared<const Kinds>(std::move(tokenizer))) {}

RWKV_API std::vector<Token> Tokenizer::encode(std::string_view text) const {
  return std::visit([&](const auto& tokenizer) { return tokenizer.encode(text); }, *kinds_);
}

RWKV_API std::string Tokenizer::decode(std::span<const Token> tokens) const {
  std::string text;
  for (const Token token : tokens) text += bytes(token);
  return text;
}

RWKV_API std::string_view Tokenizer::bytes(Token token) const noexcept {
  return std::visit([&](const auto& tokenizer) { return tokenizer.bytes(token); }, *kinds_);
}

RWKV_API Index Tokenizer::n_vocab() const noexcept {
  return std::visit([](const auto& tokenizer) { return tokenizer.n_vocab(); }, *kinds_);
}

RWKV_API std::optional<Token> Tokenizer::end_of_text() const noexcept {
  return std::visit([](const auto& tokenizer) { return tokenizer.end_of_text(); }, *kinds_);
}

RWKV_API std::string_view Tokenizer::kind() const noexcept {
  return std::visit([](const auto& tokenizer) { return tokenizer.kind; }, *kinds_);
}

RWKV_API Tokenizer load_tokenizer(const std::string& path) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    throw UnsupportedError({.path = path,
                            .problem = "is UTF-16, as are vocabularies of characters",
                            .expected = "a World vocabulary, or a tokenizer.json of byte pair encoding"});
  }
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != text.npos && text[first] == '{') return Tokenizer(BpeTokenizer::from_text(text, path));
  return Tokenizer(WorldTokenizer::from_text(text, path));
}

RWKV_API std::vector<std::string> find_tokenizer_files(const std::string& model_path) {
  namespace fs = std::filesystem;
  std::error_code error;  // what cannot be looked at is not there
  fs::path folder = fs::is_directory(model_path, error) ? fs::path(model_path) : fs::path(model_path).parent_path();
  if (folder.empty()) folder = ".";
  std::vector<std::string> paths;
  for (const char* name : {"rwkv_vocab_v20230424.txt", "20B_tokenizer.json", "tokenizer.json"}) {
    if (fs::is_regular_file(folder / name, error)) paths.push_back((folder / name).string());
  }
  std::vector<std::string> others;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() != ".vocab" || !entry->is_regular_file(error)) continue;
    others.push_back(entry->path().string());
  }
  others = sorted_copy<std::string>(others, [](const auto& a, const auto& b) { return a < b; });
  paths.insert(paths.end(), others.begin(), others.end());
  return paths;
}

namespace detail {

[[nodiscard]] inline bool is_vocabulary_of(const Tokenizer& tokenizer, Index n_vocab) noexcept {
  for (Index multiple = 1; multiple <= 128; multiple *= 2) {
    if ((tokenizer.n_vocab() + multiple - 1) / multiple * multiple == n_vocab) return true;
  }
  return false;
}

}  // namespace detail

RWKV_API void check_vocabulary(const Tokenizer& tokenizer, Index n_vocab, const std::string& path) {
  if (detail::is_vocabulary_of(tokenizer, n_vocab)) return;
  throw ArgumentError(
      {.path = path,
       .problem = "the tokenizer does not belong to the model",
       .expected = "a vocabulary for " + std::to_string(n_vocab) + " tokens",
       .found = std::string(tokenizer.kind()) + " with " + std::to_string(tokenizer.n_vocab()),
       .hint = "Models with 65536 tokens take rwkv_vocab_v20230424.txt, with 50277 or 50304 20B_tokenizer.json, "
               "with 256 no file: their tokens are bytes."});
}

RWKV_API Tokenizer tokenizer_for(Index n_vocab, const std::string& model_path, const std::string& tokenizer_path) {
  const auto load = [n_vocab](const std::string& path) {
    Tokenizer tokenizer = load_tokenizer(path);
    check_vocabulary(tokenizer, n_vocab, path);
    return tokenizer;
  };
  if (!tokenizer_path.empty()) return load(tokenizer_path);
  if (n_vocab == 256) return Tokenizer(ByteTokenizer());
  const std::vector<std::string> paths = find_tokenizer_files(model_path);
  for (const std::string& path : paths) {
    try {
      return load(path);
    } catch (const Error&) {  // another may do
    }
  }
  if (!paths.empty()) return load(paths.front());  // tells what does not fit
  throw ArgumentError({.path = model_path,
                       .problem = "no tokenizer beside the model",
                       .expected = "a vocabulary for " + std::to_string(n_vocab) + " tokens",
                       .hint = "Models with 65536 tokens take rwkv_vocab_v20230424.txt, with 50277 or 50304 "
                               "20B_tokenizer.json, both of github.com/BlinkDL/ChatRWKV: put it into the folder of the "
                               "model, or name the file."});
}

RWKV_API std::vector<Token> uncounted_tokens(const Tokenizer& tokenizer) {
  std::vector<Token> tokens;
  for (Token token = 0; token < tokenizer.n_vocab(); ++token) {
    const std::string_view text = tokenizer.bytes(token);
    const bool is_decoded = !text.empty() || tokenizer.kind() == BpeTokenizer::kind;
    if (is_decoded && is_uncounted_text(text)) tokens.push_back(token);
  }
  return tokens;
}

RWKV_NAMESPACE_END
#endif
