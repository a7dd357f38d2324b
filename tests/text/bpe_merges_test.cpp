// SPDX-License-Identifier: MIT
#include "rwkv/text/bpe_merges.hpp"

#include <map>

#include "support/support.hpp"

using namespace rwkv;

namespace {

using Merges = std::vector<BpeMerges::Merge>;

std::vector<Token> merge(const Merges& list, Index n_vocab, const std::vector<Token>& word) {
  std::vector<Token> tokens;
  BpeMerges::Scratch().merge(BpeMerges(list, n_vocab), word, tokens);
  return tokens;
}

/// The definition: look at all pairs, merge the leftmost of the lowest rank, start again.
std::vector<Token> merge_by_definition(const Merges& list, std::vector<Token> word) {
  std::map<std::pair<Token, Token>, std::size_t> ranks;
  for (std::size_t i = 0; i < list.size(); ++i) ranks.insert({{list[i].left, list[i].right}, i});
  while (true) {
    std::size_t best = list.size(), place = 0;
    for (std::size_t i = 0; i + 1 < word.size(); ++i) {
      const auto found = ranks.find({word[i], word[i + 1]});
      if (found == ranks.end() || found->second >= best) continue;
      best = found->second;
      place = i;
    }
    if (best == list.size()) return word;
    word[place] = list[best].merged;
    word.erase(word.begin() + static_cast<Index>(place) + 1);
  }
}

}  // namespace

TEST_SUITE_BEGIN("text/bpe_merges");

TEST_CASE("pairs are merged in the order of the list, not of the word") {
  const Merges list{{1, 2, 10}, {0, 1, 11}, {11, 2, 12}};
  CHECK(merge(list, 13, {0, 1, 2}) == std::vector<Token>{0, 10});
  CHECK(merge(list, 13, {0, 1}) == std::vector<Token>{11});
  CHECK(merge(list, 13, {0, 1, 0, 1, 2}) == std::vector<Token>{11, 0, 10});
  CHECK(merge(list, 13, {2, 1, 0}) == std::vector<Token>{2, 1, 0});
}

TEST_CASE("of equal pairs that overlap, the left one is merged") {
  const Merges list{{0, 0, 1}, {1, 0, 2}};
  CHECK(merge(list, 3, {0, 0, 0}) == std::vector<Token>{2});
  CHECK(merge(list, 3, {0, 0, 0, 0}) == std::vector<Token>{1, 1});
  CHECK(merge(list, 3, {0, 0, 0, 0, 0}) == std::vector<Token>{1, 2});
}

TEST_CASE("no tokens, one token, no merges") {
  CHECK(merge({{0, 0, 1}}, 2, {}).empty());
  CHECK(merge({{0, 0, 1}}, 2, {0}) == std::vector<Token>{0});
  CHECK(merge({}, 2, {0, 1, 0}) == std::vector<Token>{0, 1, 0});
}

TEST_CASE("results are appended, and a Scratch can be used again") {
  const BpeMerges merges({{0, 1, 2}}, 3);
  BpeMerges::Scratch scratch;
  std::vector<Token> tokens{7};
  for (int i = 0; i < 2; ++i) scratch.merge(merges, std::vector<Token>{0, 0, 1}, tokens);
  CHECK(tokens == std::vector<Token>{7, 0, 2, 0, 2});
}

TEST_CASE("what a pair merges into is known by its rank") {
  const BpeMerges merges({{0, 1, 2}, {1, 0, 3}, {0, 2, 4}}, 5);
  CHECK(merges.rank(0, 1) == BpeMerges::Rank{0});
  CHECK(merges.rank(0, 2) == BpeMerges::Rank{2});
  CHECK_FALSE(merges.rank(0, 0));
  CHECK_FALSE(merges.rank(4, 4));
  CHECK(merges.merged(1) == 3);
}

TEST_CASE("random merges of random words are those of the definition") {
  Random random(11);
  const auto below = [&random](std::size_t n) { return static_cast<Token>(random.next() % n); };
  for (int round = 0; round < 3000; ++round) {
    Merges list;
    Token n_vocab = 3;  // a merged token stands for more symbols than its parts, as a text would be longer
    for (std::size_t n = random.next() % 12; n > 0; --n) {
      const auto size = static_cast<std::size_t>(n_vocab);
      list.push_back({below(size), below(size), n_vocab});
      ++n_vocab;
    }
    for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random.next() % i]);
    std::vector<Token> word(random.next() % 20);
    for (Token& token : word) token = below(3);
    CAPTURE(round);
    REQUIRE(merge(list, n_vocab, word) == merge_by_definition(list, word));
  }
}

TEST_CASE("a word of a million letters takes no quadratic time") {
  Merges list;
  for (Token i = 0; i < 10; ++i) list.push_back({i, i, i + 1});  // runs of 2, 4, .. 1024
  const std::vector<Token> tokens = merge(list, 11, std::vector<Token>(1000000, 0));
  std::vector<Token> expected(1000000 / 1024, 10);
  for (const Token rest : {9, 6}) expected.push_back(rest);  // 1000000 = 976 * 1024 + 512 + 64
  CHECK(tokens == expected);
}

TEST_SUITE_END();
