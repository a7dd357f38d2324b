// SPDX-License-Identifier: MIT
// Byte pair encoding: which two tokens become one, and in what order (Sennrich et al. 2016).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "rwkv/core/sorted_order.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A list of merges, the first of which come first. Immutable; 12 bytes for each and 4 for each token.
class BpeMerges {
public:
  /// Two neighbours, and the token that takes their place.
  struct Merge {
    Token left, right, merged;
  };
  /// Place in the list.
  using Rank = std::uint32_t;

  /// What merging takes notes in: kept by the caller, so that one word after the other allocates nothing.
  class Scratch;

  BpeMerges() : BpeMerges({}, 0) {}

  /// `n_vocab` is more than any token in the merges, whose number is below 2^32. Of equal pairs the first counts.
  BpeMerges(const std::vector<Merge>& merges, Index n_vocab) : first_(static_cast<std::size_t>(n_vocab) + 1) {
    const auto is_before = [&](std::size_t a, std::size_t b) {
      return std::pair(merges[a].left, merges[a].right) < std::pair(merges[b].left, merges[b].right);
    };
    for (const std::size_t i : sorted_order(merges.size(), is_before)) {
      rights_.push_back(merges[i].right);
      ranks_.push_back(static_cast<Rank>(i));
      ++first_[static_cast<std::size_t>(merges[i].left) + 1];
    }
    for (std::size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
    for (const Merge& merge : merges) merged_.push_back(merge.merged);
  }

  /// The rank of the merge of two tokens of the vocabulary.
  [[nodiscard]] std::optional<Rank> rank(Token left, Token right) const noexcept {
    const auto i = static_cast<std::size_t>(left);
    const auto begin = rights_.begin() + first_[i], end = rights_.begin() + first_[i + 1];
    const auto found = std::lower_bound(begin, end, right);
    if (found == end || *found != right) return std::nullopt;
    return ranks_[static_cast<std::size_t>(found - rights_.begin())];
  }

  [[nodiscard]] Token merged(Rank rank) const noexcept { return merged_[rank]; }

private:
  std::vector<Token> rights_;         // ordered by the left tokens, then by themselves
  std::vector<Rank> ranks_;           // of the same merges
  std::vector<std::uint32_t> first_;  // for each left token where its merges begin, and one more: the end
  std::vector<Token> merged_;         // by rank
};

class BpeMerges::Scratch {
public:
  /// Appends to `tokens` what becomes of a word: as long as any two neighbours can be merged, those of the lowest rank
  /// are, the leftmost first.
  ///
  /// Takes O(n log n) for n tokens: pairs wait in a heap, and one whose tokens have been merged with others meanwhile
  /// is noticed when its turn comes. Source: Word::merge_all of huggingface/tokenizers, which does the same.
  void merge(const BpeMerges& merges, std::span<const Token> word, std::vector<Token>& tokens) {
    symbols_.clear();
    for (const Token token : word) symbols_.push_back({token, 1, symbols_.size() - 1});
    queue_.clear();
    for (std::size_t i = 0; i + 1 < word.size(); ++i) offer(merges, i);
    while (!queue_.empty()) {
      const Pair pair = take();
      Symbol& left = symbols_[pair.position];
      const std::size_t next = pair.position + left.size;
      // Symbols only grow: if the two still have that size, they are those of the pair.
      if (left.size == 0 || next == symbols_.size() || left.size + symbols_[next].size != pair.size) continue;
      left = {merges.merged(pair.rank), pair.size, left.previous};
      symbols_[next].size = 0;
      if (const std::size_t after = pair.position + pair.size; after < symbols_.size()) {
        symbols_[after].previous = pair.position;
        offer(merges, pair.position);
      }
      if (pair.position > 0) offer(merges, left.previous);
    }
    for (std::size_t i = 0; i < symbols_.size(); i += symbols_[i].size) tokens.push_back(symbols_[i].token);
  }

private:
  /// A token that stands for `size` of those of the word, at the place of their first; 0: for none any more.
  struct Symbol {
    Token token;
    std::size_t size, previous;
  };
  /// Two neighbours that can be merged, the first at `position`, and their size.
  struct Pair {
    Rank rank;
    std::size_t position, size;
  };

  static bool is_later(const Pair& a, const Pair& b) noexcept {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  }

  /// Queues the symbol at a position with the one after it, if they can be merged.
  void offer(const BpeMerges& merges, std::size_t position) {
    const Symbol& left = symbols_[position];
    const Symbol& right = symbols_[position + left.size];
    const std::optional<Rank> rank = merges.rank(left.token, right.token);
    if (!rank) return;
    queue_.push_back({*rank, position, left.size + right.size});
    std::push_heap(queue_.begin(), queue_.end(), is_later);
  }

  Pair take() {
    std::pop_heap(queue_.begin(), queue_.end(), is_later);
    const Pair pair = queue_.back();
    queue_.pop_back();
    return pair;
  }

  std::vector<Symbol> symbols_;
  std::vector<Pair> queue_;  // a heap
};

RWKV_NAMESPACE_END
