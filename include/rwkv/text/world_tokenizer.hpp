// SPDX-License-Identifier: MIT
// The tokenizer of the RWKV "World" models and the format of its vocabulary file.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/core/sorted_order.hpp"
#include "rwkv/text/byte_trie.hpp"
#include "rwkv/text/python_literal.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Greedy longest match over bytes: no normalisation, no special tokens inside text, any byte string can be encoded.
///
/// The vocabulary has a line `id literal n_bytes` for each token, where the literal is a Python str or bytes literal
/// and may contain spaces. Id 0 is not in it: it means end of text and has no bytes. Source: rwkv_vocab_v20230424.txt
/// and rwkv_tokenizer.py (BlinkDL/ChatRWKV, tokenizer/). All methods are const: share one tokenizer between threads.
class WorldTokenizer {
public:
  static constexpr std::string_view kind = "World";

  /// The largest id that is accepted, so that a short hostile file cannot ask for a large table.
  static constexpr Token max_id = (1 << 20) - 1;
  /// The longest token; those of the original vocabulary have up to 128 bytes. Bounds the time of encode().
  static constexpr std::size_t max_token = 1024;

  /// Reads a vocabulary file; its lines end in LF or CR LF.
  /// Throws IoError, and FormatError for everything that is not such a file: it names the line.
  [[nodiscard]] static WorldTokenizer load(const std::string& path) {
    const MappedFile file(path);
    return from_text({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path);
  }

  /// The same for the text of a vocabulary; `path` is what messages call it.
  [[nodiscard]] static WorldTokenizer from_text(std::string_view text, const std::string& path) {
    if (text.size() > std::numeric_limits<std::uint32_t>::max()) {
      throw FormatError({.path = path, .expected = "a vocabulary", .found = std::to_string(text.size()) + " bytes"});
    }
    WorldTokenizer tokenizer;
    std::vector<Index> lines;  // by id: where it stands, or 0
    for (Index number = 1; !text.empty(); ++number) {
      std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
      if (line.ends_with('\r')) line.remove_suffix(1);
      tokenizer.add({path, number}, line, lines);
    }
    tokenizer.build_trie(path, lines);
    return tokenizer;
  }

  [[nodiscard]] std::vector<Token> encode(std::string_view text) const {
    std::vector<Token> tokens;
    tokens.reserve(text.size() / 4 + 1);
    while (!text.empty()) {
      const ByteTrie::Match match = trie_.longest_match(text);
      tokens.push_back(match.token);
      text.remove_prefix(match.n_bytes);  // at least 1: build_trie has seen to it
    }
    return tokens;
  }

  /// The bytes of a token, which need not be whole characters; none for 0 and for ids that the vocabulary does not
  /// have. Valid as long as the tokenizer.
  [[nodiscard]] std::string_view bytes(Token token) const noexcept {
    if (token < 0 || token >= n_vocab()) return {};
    const Piece& piece = pieces_[static_cast<std::size_t>(token)];
    return {bytes_.data() + piece.begin, piece.size};
  }

  /// The largest id + 1.
  [[nodiscard]] Index n_vocab() const noexcept { return static_cast<Index>(pieces_.size()); }

  /// Id 0, which is not in the file.
  [[nodiscard]] std::optional<Token> end_of_text() const noexcept { return Token{0}; }

private:
  struct Piece {
    std::uint32_t begin = 0, size = 0;  // in bytes_
  };
  struct Place {
    const std::string& path;
    Index line;

    [[noreturn]] void fail(std::string_view problem, std::string_view expected = "",
                           std::string_view found = "") const {
      throw FormatError({path, line_item(line), problem, expected, found});
    }
  };

  WorldTokenizer() = default;

  static std::string line_item(Index line) { return "line " + std::to_string(line); }

  static std::optional<Index> parse_number(std::string_view digits) {
    Index value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  }

  void add(Place place, std::string_view line, std::vector<Index>& lines) {
    const std::size_t first = line.find(' '), last = line.rfind(' ');
    if (first == last) place.fail("", "three fields: id, literal, number of bytes", in_quotes(line));  // 0 or 1 spaces

    const std::optional<Index> id = parse_number(line.substr(0, first));
    if (!id || *id < 1 || *id > max_id) {
      place.fail("", "an id from 1 to " + std::to_string(max_id), in_quotes(line.substr(0, first)));
    }
    const auto position = static_cast<std::size_t>(*id);
    if (position >= lines.size()) {
      lines.resize(position + 1);
      pieces_.resize(position + 1);
    }
    if (lines[position] != 0) {
      place.fail("id " + std::to_string(*id) + " occurs in " + line_item(lines[position]) + " too");
    }
    lines[position] = place.line;

    const std::string_view literal = line.substr(first + 1, last - first - 1);
    const std::size_t begin = bytes_.size();
    if (const char* expected = append_python_literal(literal, bytes_)) place.fail("", expected, in_quotes(literal));
    const std::size_t size = bytes_.size() - begin;
    if (size == 0 || size > max_token) {
      place.fail("", "a token of 1 to " + std::to_string(max_token) + " bytes", std::to_string(size) + " bytes");
    }
    if (parse_number(line.substr(last + 1)) != static_cast<Index>(size)) {
      place.fail("wrong number of bytes", std::to_string(size), in_quotes(line.substr(last + 1)));
    }
    // A literal is never shorter than its bytes, and the text has less than 2^32 of them.
    pieces_[position] = {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(size)};
  }

  void build_trie(const std::string& path, const std::vector<Index>& lines) {
    std::vector<ByteTrie::Entry> entries;
    entries.reserve(std::min(pieces_.size(), bytes_.size()));  // ids may have gaps
    for (Token token = 1; token < n_vocab(); ++token) {
      if (!bytes(token).empty()) entries.push_back({bytes(token), token});
    }
    entries = sorted_copy<ByteTrie::Entry>(entries, [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
    const auto same = std::adjacent_find(entries.begin(), entries.end(),
                                         [](const auto& a, const auto& b) { return a.bytes == b.bytes; });
    if (same != entries.end()) {
      const auto line = [&](const ByteTrie::Entry& entry) { return lines[static_cast<std::size_t>(entry.token)]; };
      const auto [earlier, later] = std::minmax({line(same[0]), line(same[1])});
      Place{path, later}.fail("the token " + in_quotes(same->bytes) + " occurs in " + line_item(earlier) + " too");
    }
    trie_ = ByteTrie(entries);
    for (int byte = 0; byte < 256; ++byte) {
      const auto text = static_cast<char>(static_cast<unsigned char>(byte));
      if (trie_.longest_match({&text, 1}).n_bytes == 1) continue;
      throw FormatError({.path = path,
                         .problem = "some texts cannot be encoded",
                         .expected = "a token for each of the 256 bytes",
                         .found = "none for byte " + std::to_string(byte)});
    }
  }

  std::string bytes_;          // of all tokens, in the order of the file
  std::vector<Piece> pieces_;  // by id
  ByteTrie trie_;
};

RWKV_NAMESPACE_END
