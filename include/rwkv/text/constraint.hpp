// SPDX-License-Identifier: MIT
// Which tokens may come next, by a grammar.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/grammar/byte_automaton.hpp"
#include "rwkv/grammar/grammar.hpp"
#include "rwkv/text/byte_trie.hpp"
#include "rwkv/text/tokenizer.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A place in a text that keeps to a grammar, and what may follow there.
///
/// A token is allowed if and only if the text so far and its bytes are the beginning of a text that fits the grammar,
/// wherever its borders lie; the token that ends a text, if the text so far fits. To find them the automaton of the
/// grammar walks the vocabulary as a tree of bytes. What was found is kept for when a state comes again. In a long
/// repetition all states are different, but not for the next few bytes: therefore short and long tokens have trees of
/// their own, and far from the end of the repetition what was found for one state serves for all.
///
/// A value: copy it to fork a generation. Not for several threads at once.
class Constraint {
public:
  /// At the beginning of a text. Sorts the vocabulary: to begin again, reset().
  Constraint(const Grammar& grammar, const Tokenizer& tokenizer);

  /// Back to the beginning of a text. What was found is kept.
  void reset() noexcept;

  /// The allowed tokens: bit n % 64 of word n / 64 is token n. None after a token that ended the text. Valid until the
  /// next call.
  [[nodiscard]] std::span<const std::uint64_t> allowed();
  [[nodiscard]] bool allows(Token token);

  /// Copies the logits of allowed tokens to `out`, and -infinity for others. They have the same size, which need not be
  /// that of the vocabulary. Throws UnsupportedError if none of these tokens is allowed: the vocabulary lacks a byte
  /// that must come; and ArgumentError if the sizes differ or a token has ended the text.
  void apply(std::span<const float> logits, std::span<float> out);

  /// The text goes on with a token, or with bytes. Throws ArgumentError, and changes nothing, for what is not allowed.
  void accept(Token token);
  void accept(std::string_view bytes);

  /// Whether the text so far fits the grammar.
  [[nodiscard]] bool may_end() const noexcept;
  /// Whether it fits and no token can follow, but one that ends the text.
  [[nodiscard]] bool must_end();

  /// The shortest text that would make it fit; empty where it does. Throws as ByteAutomaton::shortest_end.
  [[nodiscard]] std::string shortest_end();

private:
  using State = ByteAutomaton::State;

  using Mask = std::vector<std::uint64_t>;

  /// Tokens of up to n_bytes bytes that do not fit into the tree before.
  struct Tree {
    std::size_t n_bytes;
    ByteTrie trie;
    std::vector<std::uint8_t> classes;  // of the label of each node
  };
  /// What depends on the grammar and the tokenizer only.
  struct Vocabulary {
    Vocabulary(const RuleNetwork& network, Tokenizer used);

    Tokenizer tokenizer;
    std::vector<Tree> trees;
    std::vector<std::pair<Token, Token>> the_same;  // tokens with the bytes of one in a tree
  };
  /// What was found for a tree.
  struct Found {
    std::vector<std::uint32_t> frames;  // see ByteAutomaton::alike
    std::vector<Mask> masks;
    std::vector<std::int32_t> mask_of;  // for each state its place in masks, or none
  };
  struct Visit {
    std::uint32_t node;
    State state;
  };

  static constexpr std::int32_t none = -1;
  static constexpr std::size_t max_masks = 1024;  // for each tree
  static constexpr std::size_t max_states = 1 << 16;

  /// Sets mask_ and is_empty_ to what is allowed in state_, or after the end.
  void find_mask();
  [[nodiscard]] const Mask& mask_of(State state, const Tree& tree, Found& found);
  [[nodiscard]] Mask walk(State state, const Tree& tree);
  void move_to(State state);

  std::shared_ptr<const Vocabulary> vocabulary_;
  ByteAutomaton automaton_;
  State state_;
  bool is_ended_ = false;  // by a token that ends the text
  std::vector<Found> found_;
  bool has_mask_ = false;  // mask_ is that of state_ and is_ended_
  Mask mask_;
  bool is_empty_ = true;  // but for the end of the text
  std::vector<Visit> visits_;
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <iterator>
#include <limits>

#include "rwkv/core/error.hpp"
#include "rwkv/core/sorted_order.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API Constraint::Vocabulary::Vocabulary(const RuleNetwork& network, Tokenizer used) : tokenizer(std::move(used)) {
  std::vector<ByteTrie::Entry> entries;
  for (Token token = 0; token < tokenizer.n_vocab(); ++token) {
    const std::string_view bytes = tokenizer.bytes(token);
    if (!bytes.empty()) entries.push_back({bytes, token});
  }
  entries = sorted_copy<ByteTrie::Entry>(entries, [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  const auto is_same = [&](const ByteTrie::Entry& a, const ByteTrie::Entry& b) {
    if (a.bytes == b.bytes) the_same.emplace_back(b.token, a.token);
    return a.bytes == b.bytes;
  };
  entries.erase(std::unique(entries.begin(), entries.end(), is_same), entries.end());
  std::size_t longest = 0;
  for (const ByteTrie::Entry& entry : entries) longest = std::max(longest, entry.bytes.size());
  std::size_t n_shorter = 0;
  for (const std::size_t n_bytes : {std::size_t{8}, std::size_t{16}, std::max<std::size_t>(longest, 17)}) {
    std::vector<ByteTrie::Entry> fitting;
    std::ranges::copy_if(entries, std::back_inserter(fitting), [&](const ByteTrie::Entry& entry) {
      return entry.bytes.size() > n_shorter && entry.bytes.size() <= n_bytes;
    });
    Tree& tree = trees.emplace_back(Tree{n_bytes, ByteTrie(fitting), {}});
    for (std::size_t i = 0; i < tree.trie.n_nodes(); ++i) tree.classes.push_back(network.class_of[tree.trie.label(i)]);
    n_shorter = n_bytes;
  }
}

RWKV_API Constraint::Constraint(const Grammar& grammar, const Tokenizer& tokenizer)
    : vocabulary_(std::make_shared<const Vocabulary>(*grammar.network(), tokenizer)),
      automaton_(grammar.network()),
      state_(automaton_.start()),
      found_(vocabulary_->trees.size()),
      mask_((static_cast<std::size_t>(tokenizer.n_vocab()) + 63) / 64) {}

RWKV_API void Constraint::reset() noexcept {
  state_ = automaton_.start();
  is_ended_ = false;
  has_mask_ = false;
}

RWKV_API Constraint::Mask Constraint::walk(State first, const Tree& tree) {
  const ByteTrie& trie = tree.trie;
  Mask mask(mask_.size());
  visits_.resize(std::max(visits_.size(), trie.n_nodes()));
  visits_[0] = {0, first};
  std::size_t n_visits = 1;
  for (std::size_t i = 0; i < n_visits; ++i) {  // in the order of the nodes
    const auto [parent, state] = visits_[i];
    const State* known = automaton_.known_next(state);
    const auto [begin, end] = trie.children(parent);
    for (std::uint32_t node = begin; node < end; ++node) {
      State next = known[tree.classes[node]];
      if (next == ByteAutomaton::unknown) {
        next = automaton_.next_of_class(state, tree.classes[node]);
        known = automaton_.known_next(state);
      }
      if (next == ByteAutomaton::dead) continue;
      const Token token = trie.token(node);
      if (token != ByteTrie::none) mask[static_cast<std::size_t>(token) / 64] |= std::uint64_t{1} << (token % 64);
      visits_[n_visits] = {node, next};
      const auto below = trie.children(node);
      n_visits += below.begin < below.end ? 1 : 0;
    }
  }
  return mask;
}

RWKV_API const Constraint::Mask& Constraint::mask_of(State state, const Tree& tree, Found& found) {
  state = automaton_.alike(state, tree.n_bytes, found.frames);
  found.mask_of.resize(std::max<std::size_t>(found.mask_of.size(), state + 1), none);
  std::int32_t& place = found.mask_of[state];
  if (place == none) {
    Mask mask = walk(state, tree);  // it may throw
    if (found.masks.size() == max_masks) {
      found.masks.clear();
      std::ranges::fill(found.mask_of, none);
    }
    place = static_cast<std::int32_t>(found.masks.size());
    found.masks.push_back(std::move(mask));
  }
  return found.masks[static_cast<std::size_t>(place)];
}

RWKV_API void Constraint::find_mask() {
  if (has_mask_) return;
  std::ranges::fill(mask_, 0);
  is_empty_ = true;
  has_mask_ = is_ended_;
  if (is_ended_) return;
  for (std::size_t i = 0; i < found_.size(); ++i) {
    const Mask& part = mask_of(state_, vocabulary_->trees[i], found_[i]);
    for (std::size_t word = 0; word < mask_.size(); ++word) mask_[word] |= part[word];
  }
  const auto allow = [this](Token token) {
    mask_[static_cast<std::size_t>(token) / 64] |= std::uint64_t{1} << (token % 64);
  };
  for (const auto& [token, same] : vocabulary_->the_same) {
    if ((mask_[static_cast<std::size_t>(same) / 64] >> (same % 64) & 1) != 0) allow(token);
  }
  is_empty_ = std::ranges::all_of(mask_, [](std::uint64_t word) { return word == 0; });
  const auto end_of_text = vocabulary_->tokenizer.end_of_text();
  if (end_of_text && may_end()) allow(*end_of_text);
  has_mask_ = true;
}

RWKV_API std::span<const std::uint64_t> Constraint::allowed() {
  find_mask();
  return mask_;
}

RWKV_API bool Constraint::allows(Token token) {
  if (token < 0 || token >= vocabulary_->tokenizer.n_vocab()) return false;
  return (allowed()[static_cast<std::size_t>(token) / 64] >> (token % 64) & 1) != 0;
}

RWKV_API void Constraint::apply(std::span<const float> logits, std::span<float> out) {
  if (out.size() != logits.size()) {
    throw ArgumentError(
        {.item = "logits", .expected = std::to_string(logits.size()) + " places", .found = std::to_string(out.size())});
  }
  if (is_ended_) throw ArgumentError({.item = "grammar", .problem = "a token has ended the text: nothing can follow"});
  const std::span<const std::uint64_t> words = allowed();
  std::uint64_t any = 0;
  for (std::size_t first = 0; first < logits.size(); first += 64) {
    const std::uint64_t word = first / 64 < words.size() ? words[first / 64] : 0;
    const std::size_t n = std::min<std::size_t>(64, logits.size() - first);
    any |= word & (~std::uint64_t{0} >> (64 - n));
    if (~word == 0 || word == 0) {
      if (word == 0) std::fill_n(out.data() + first, n, -std::numeric_limits<float>::infinity());
      if (word != 0) std::copy_n(logits.data() + first, n, out.data() + first);
      continue;
    }
    for (std::size_t i = 0; i < n; ++i) {
      out[first + i] = (word >> i & 1) != 0 ? logits[first + i] : -std::numeric_limits<float>::infinity();
    }
  }
  if (any != 0) return;
  throw UnsupportedError({.item = "grammar",
                          .problem = "no token can follow",
                          .expected = "bytes such as " + in_quotes(automaton_.shortest_end(state_)),
                          .found = "a vocabulary without a token that begins so"});
}

RWKV_API void Constraint::accept(Token token) {
  const auto refuse = [token] {
    throw ArgumentError({.item = "token " + std::to_string(token), .problem = "the grammar does not allow it here"});
  };
  if (is_ended_) refuse();
  const std::string_view bytes = vocabulary_->tokenizer.bytes(token);
  if (token == vocabulary_->tokenizer.end_of_text()) {
    if (!may_end()) refuse();
    is_ended_ = true;
    has_mask_ = false;
    return;
  }
  const State next = automaton_.next(state_, bytes);
  if (bytes.empty() || next == ByteAutomaton::dead) refuse();
  move_to(next);
}

RWKV_API void Constraint::accept(std::string_view bytes) {
  const State next = automaton_.next(state_, bytes);
  if (next == ByteAutomaton::dead || (is_ended_ && !bytes.empty())) {
    throw ArgumentError({.item = "text " + in_quotes(bytes), .problem = "the grammar does not allow it here"});
  }
  move_to(next);
}

RWKV_API void Constraint::move_to(State state) {
  has_mask_ = has_mask_ && state == state_;
  state_ = state;
  if (automaton_.n_states() <= max_states) return;
  auto [fresh, same] = automaton_.only(state_);
  automaton_ = std::move(fresh);
  has_mask_ = false;
  state_ = same;
  for (Found& found : found_) found = {};
}

RWKV_API bool Constraint::may_end() const noexcept { return automaton_.may_end(state_); }

RWKV_API bool Constraint::must_end() {
  if (is_ended_ || !may_end()) return is_ended_;
  find_mask();
  return is_empty_;
}

RWKV_API std::string Constraint::shortest_end() { return automaton_.shortest_end(state_); }

RWKV_NAMESPACE_END
#endif
