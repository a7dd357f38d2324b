// SPDX-License-Identifier: MIT
// Texts that begin alike, as tokens: a tree whose branches are lines.
#pragma once

#include <algorithm>
#include <cstdint>
#include <queue>
#include <span>
#include <utility>
#include <vector>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A text of a TokenTree: the first `position` tokens on the way to the end of a line. A small value, good for as long
/// as the tree has the line.
struct TextPlace {
  Index line = 0;
  Index position = 0;

  friend bool operator==(const TextPlace&, const TextPlace&) = default;
};

/// Every text that was ever read, shared as far as the texts begin alike. Line 0 begins with nothing; each other line
/// leaves its parent after `begin` tokens, so that adding a branch moves nothing and Places stay good.
///
/// Knows tokens, never models. All functions but contains() want Places that the tree contains.
class TokenTree {
public:
  /// Tokens that follow a place of another line, or the beginning.
  struct Line {
    Index id;      ///< ascending, never used again
    Index parent;  ///< -1: none
    Index begin;   ///< tokens before the first of its own
    std::vector<Token> tokens{};
    std::uint64_t last_used = 0;

    [[nodiscard]] Index end() const noexcept { return begin + std::ssize(tokens); }
  };

  TokenTree() : lines_{{0, -1, 0}} {}
  /// From lines() of another tree: ids ascend from 0, parents come before their branches and reach their begin.
  explicit TokenTree(std::vector<Line> lines) : lines_(std::move(lines)) {}

  [[nodiscard]] const std::vector<Line>& lines() const noexcept { return lines_; }
  [[nodiscard]] bool contains(TextPlace place) const noexcept {
    const Line* const line = find(place.line);
    return line != nullptr && place.position >= 0 && place.position <= line->end();
  }

  /// Tokens of all lines.
  [[nodiscard]] Index n_tokens() const noexcept {
    Index n = 0;
    for (const Line& line : lines_) n += std::ssize(line.tokens);
    return n;
  }

  /// The same text, on the oldest line that has it: equal Places are then equal texts of one history.
  [[nodiscard]] TextPlace normalised(TextPlace place) const noexcept {
    for (const Line* line = find(place.line); line->parent >= 0 && place.position <= line->begin;) {
      place.line = line->parent;
      line = find(place.line);
    }
    return place;
  }

  /// The tokens of a text, from number `first` on.
  [[nodiscard]] std::vector<Token> tokens(TextPlace place, Index first = 0) const {
    std::vector<Token> result(static_cast<std::size_t>(place.position - first));
    visit(place, first, [&](Index at, std::span<const Token> part) {
      std::ranges::copy(part, result.begin() + (at - first));
      return true;
    });
    return result;
  }

  /// Whether the text of `earlier` was passed on the way to that of `later`.
  [[nodiscard]] bool leads_to(TextPlace earlier, TextPlace later) const noexcept {
    if (earlier.position > later.position) return false;
    return normalised({later.line, earlier.position}) == normalised(earlier);
  }

  /// Whether the way from one text to the later one is the first of these tokens.
  [[nodiscard]] bool is_way(TextPlace from, TextPlace to, std::span<const Token> tokens) const noexcept {
    if (!leads_to(from, to) || to.position - from.position > std::ssize(tokens)) return false;
    return visit(to, from.position, [&](Index at, std::span<const Token> part) {
      const auto same = tokens.subspan(static_cast<std::size_t>(at - from.position), part.size());
      return std::ranges::equal(part, same);
    });
  }

  /// Adds tokens behind a text, and gives the longer one: on the same line if it ends there, or else on a new one.
  TextPlace append(TextPlace place, std::span<const Token> tokens) {
    place = normalised(place);
    Line* line = find(place.line);
    if (tokens.empty()) return place;
    if (place.position < line->end()) {
      const Index id = next_id_++;
      line = &lines_.emplace_back(Line{id, place.line, place.position});
    }
    line->tokens.insert(line->tokens.end(), tokens.begin(), tokens.end());
    line->last_used = ++clock_;
    return {line->id, line->end()};
  }

  /// Tells that a text is in use, for forget().
  void touch(TextPlace place) noexcept {
    for (Line* line = find(place.line); line != nullptr; line = find(line->parent)) line->last_used = ++clock_;
  }

  /// Drops lines, those used longest ago first, until there are max_tokens at most; never one on the way to `present`.
  /// Returns whether it dropped any.
  bool forget(Index max_tokens, TextPlace present) {
    Index n = n_tokens();
    if (n <= max_tokens) return false;
    const auto index = [&](Index id) { return static_cast<std::size_t>(find(id) - lines_.data()); };
    std::vector<Index> n_users(lines_.size());  // lines that leave one, and the present text
    for (const Line& line : lines_) {
      if (line.parent >= 0) ++n_users[index(line.parent)];
    }
    ++n_users[0];
    ++n_users[index(present.line)];

    const auto is_younger = [](const Line* a, const Line* b) { return a->last_used > b->last_used; };
    std::priority_queue<const Line*, std::vector<const Line*>, decltype(is_younger)> unused(is_younger);
    for (const Line& line : lines_) {
      if (n_users[index(line.id)] == 0) unused.push(&line);
    }
    std::vector<Index> dropped;
    for (; n > max_tokens && !unused.empty();) {
      const Line& line = *unused.top();
      unused.pop();
      n -= std::ssize(line.tokens);
      dropped.push_back(line.id);
      if (--n_users[index(line.parent)] == 0) unused.push(find(line.parent));
    }
    std::ranges::sort(dropped);
    std::erase_if(lines_, [&](const Line& line) { return std::ranges::binary_search(dropped, line.id); });
    return !dropped.empty();
  }

private:
  [[nodiscard]] const Line* find(Index id) const noexcept {
    const auto line = std::ranges::lower_bound(lines_, id, {}, &Line::id);
    return line != lines_.end() && line->id == id ? &*line : nullptr;
  }
  [[nodiscard]] Line* find(Index id) noexcept { return const_cast<Line*>(std::as_const(*this).find(id)); }

  /// Calls on_part(position of its first token, tokens) for the parts of a text from `first` on, last part first.
  /// Stops, and returns false, when it does.
  template <class OnPart>
  bool visit(TextPlace place, Index first, OnPart on_part) const {
    Index end = place.position;
    for (const Line* line = find(place.line); line != nullptr && end > first; line = find(line->parent)) {
      const Index begin = std::max(line->begin, first);
      if (begin >= end) continue;
      const std::span<const Token> own(line->tokens);
      if (!on_part(begin,
                   own.subspan(static_cast<std::size_t>(begin - line->begin), static_cast<std::size_t>(end - begin)))) {
        return false;
      }
      end = begin;
    }
    return true;
  }

  std::vector<Line> lines_;  // by id
  Index next_id_ = lines_.back().id + 1;
  std::uint64_t clock_ = 0;
};

RWKV_NAMESPACE_END
