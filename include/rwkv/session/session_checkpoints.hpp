// SPDX-License-Identifier: MIT
// The checkpoints of a Session: which there are, and which are given up when there is no more room.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "rwkv/session/token_tree.hpp"
#include "rwkv/state.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// What a model remembered, and was about to say, behind a text.
struct SessionCheckpoint {
  TextPlace place;
  State state;
  std::vector<float> logits;
  bool is_regular = false;  ///< one of those that are an interval apart
  std::uint64_t last_used = 0;
};

/// Keeps n_most checkpoints at most. The regular ones of the present text are never given up for others; when they
/// would be more than half of n_most, interval() doubles and every second of them becomes as the others are. Of those,
/// the one used longest ago goes first, and its memory is used again. For the functions see Session, which is made of
/// them.
class SessionCheckpoints {
public:
  SessionCheckpoints(Index interval, Index n_most) : n_most_(n_most), interval_(interval), next_(interval) {}

  [[nodiscard]] const std::vector<SessionCheckpoint>& all() const noexcept { return all_; }
  [[nodiscard]] Index interval() const noexcept { return interval_; }
  void set_interval(Index interval, TextPlace present) noexcept {
    interval_ = interval;
    arrive(present);
  }

  /// The position from which on a regular checkpoint is due, behind the place that was arrived at last.
  [[nodiscard]] Index next() const noexcept { return next_; }
  void arrive(TextPlace present) noexcept { next_ = (present.position / interval_ + 1) * interval_; }

  /// The last one on the way to a place, or null.
  [[nodiscard]] SessionCheckpoint* before(TextPlace place, const TokenTree& tree) noexcept {
    return last([&](const SessionCheckpoint& each) { return tree.leads_to(each.place, place); });
  }
  /// The last one that the tokens lead to from a place, or null.
  [[nodiscard]] SessionCheckpoint* ahead(TextPlace from, std::span<const Token> tokens,
                                         const TokenTree& tree) noexcept {
    return last([&](const SessionCheckpoint& each) {
      return each.place.position > from.position && tree.is_way(from, each.place, tokens);
    });
  }
  [[nodiscard]] SessionCheckpoint* at(TextPlace place) noexcept {
    const auto found = std::ranges::find(all_, place, &SessionCheckpoint::place);
    return found == all_.end() ? nullptr : &*found;
  }

  /// A new one at the present place, whose State and logits are still to be set. Null if there is no room for any.
  [[nodiscard]] SessionCheckpoint* add(TextPlace present, const State& state, const TokenTree& tree) {
    if (n_most_ == 0) {
      while (present.position >= interval_) double_interval(present, tree);
      return nullptr;
    }
    const auto is_needed = [&](const SessionCheckpoint& each) { return is_kept(each, present, tree); };
    SessionCheckpoint* place = nullptr;
    if (std::ssize(all_) < n_most_) {
      place = &all_.emplace_back(SessionCheckpoint{present, state, {}});
    } else {
      while (std::ranges::count_if(all_, is_needed) > n_most_ / 2) double_interval(present, tree);
      for (SessionCheckpoint& each : all_) {
        if (!is_needed(each) && (place == nullptr || each.last_used < place->last_used)) place = &each;
      }
    }
    place->place = present;
    place->is_regular = false;
    use(*place);
    return place;
  }
  void use(SessionCheckpoint& checkpoint) noexcept { checkpoint.last_used = ++clock_; }

  /// Drops those whose text the tree has forgotten.
  void forget(const TokenTree& tree) {
    std::erase_if(all_, [&](const SessionCheckpoint& each) { return !tree.contains(each.place); });
  }

private:
  template <class Condition>
  [[nodiscard]] SessionCheckpoint* last(Condition is_wanted) noexcept {
    SessionCheckpoint* best = nullptr;
    for (SessionCheckpoint& each : all_) {
      const bool is_later = best == nullptr || each.place.position > best->place.position;
      if (is_later && is_wanted(each)) best = &each;
    }
    return best;
  }

  [[nodiscard]] static bool is_kept(const SessionCheckpoint& each, TextPlace present, const TokenTree& tree) noexcept {
    return each.is_regular && tree.leads_to(each.place, present);
  }

  void double_interval(TextPlace present, const TokenTree& tree) {
    set_interval(2 * interval_, present);
    std::vector<SessionCheckpoint*> kept;
    for (SessionCheckpoint& each : all_) {
      if (is_kept(each, present, tree)) kept.push_back(&each);
    }
    std::ranges::sort(kept, {}, [](const SessionCheckpoint* each) { return each->place.position; });
    Index number = 0;  // of the interval that has its checkpoint
    for (SessionCheckpoint* const each : kept) {
      each->is_regular = each->place.position / interval_ > number;
      number = each->place.position / interval_;
    }
  }

  std::vector<SessionCheckpoint> all_;
  Index n_most_;
  Index interval_;
  Index next_;
  std::uint64_t clock_ = 0;
};

RWKV_NAMESPACE_END
