// SPDX-License-Identifier: MIT
#include "rwkv/text/byte_trie.hpp"

#include <map>

#include "support/support.hpp"

using namespace rwkv;

namespace {

ByteTrie make_trie(const std::map<std::string, Token>& tokens) {
  std::vector<ByteTrie::Entry> entries;
  for (const auto& [bytes, token] : tokens) entries.push_back({bytes, token});  // a map is sorted, by unsigned bytes
  return ByteTrie(entries);
}

}  // namespace

TEST_SUITE_BEGIN("text/byte_trie");

TEST_CASE("the longest token wins, also where a longer one begins and breaks off") {
  const ByteTrie trie = make_trie({{"a", 7}, {"abcd", 8}, {"b", 9}});
  const auto match = [&](std::string_view text) {
    const ByteTrie::Match found = trie.longest_match(text);
    return std::pair(found.token, found.n_bytes);
  };
  CHECK(match("a") == std::pair(7, std::size_t{1}));
  CHECK(match("abc") == std::pair(7, std::size_t{1}));
  CHECK(match("abcde") == std::pair(8, std::size_t{4}));
  CHECK(match("bcd") == std::pair(9, std::size_t{1}));
  CHECK(match("c").second == 0);
  CHECK(match("").second == 0);
  CHECK(ByteTrie().longest_match("a").n_bytes == 0);
}

TEST_CASE("random vocabularies match as a search through all tokens does") {
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    const std::size_t n_letters = round % 2 == 0 ? 3 : 256;  // deep trees, wide trees
    const auto random_bytes = [&](std::size_t size) {
      std::string bytes;
      while (bytes.size() < size) bytes += static_cast<char>(static_cast<unsigned char>(random.next() % n_letters));
      return bytes;
    };
    std::map<std::string, Token> tokens;
    for (std::size_t letter = 0; letter < n_letters; ++letter) {
      tokens[std::string(1, static_cast<char>(static_cast<unsigned char>(letter)))] = static_cast<Token>(letter);
    }
    for (Token token = 256; token < 356; ++token) tokens[random_bytes(1 + random.next() % 6)] = token;
    const ByteTrie trie = make_trie(tokens);
    for (int i = 0; i < 50; ++i) {
      const std::string text = random_bytes(10);
      std::size_t longest = 0;
      for (const auto& [bytes, token] : tokens) {
        if (text.starts_with(bytes)) longest = std::max(longest, bytes.size());
      }
      const ByteTrie::Match match = trie.longest_match(text);
      REQUIRE(match.n_bytes == longest);
      REQUIRE(match.token == tokens.at(text.substr(0, longest)));
    }
  }
}

TEST_SUITE_END();
