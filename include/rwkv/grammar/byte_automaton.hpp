// SPDX-License-Identifier: MIT
// Which bytes may follow, by a grammar: a deterministic automaton that is made as far as it is walked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/grammar/rule_network.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Where a reader of a network is: before a node, and what comes after the end of that node's rule.
struct NetworkPosition {
  int node;
  std::uint32_t frame;
  friend constexpr auto operator<=>(const NetworkPosition&, const NetworkPosition&) noexcept = default;
};

/// Sets of positions, each stored once: equal sets have equal numbers, counted from 0.
class PositionSets {
public:
  /// The number of a set, which must be sorted. It may be new.
  std::uint32_t intern(std::span<const NetworkPosition> set) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const auto& [node, frame] : set) {
      hash = (hash ^ (static_cast<std::uint64_t>(node) << 32 | frame)) * 0x9e3779b97f4a7c15u;
      hash ^= hash >> 29;
    }
    if (2 * size() >= slots_.size()) grow();
    std::size_t slot = hash & (slots_.size() - 1);
    for (; slots_[slot] != none; slot = (slot + 1) & (slots_.size() - 1)) {
      if (hashes_[slots_[slot]] == hash && std::ranges::equal((*this)[slots_[slot]], set)) return slots_[slot];
    }
    slots_[slot] = static_cast<std::uint32_t>(size());
    hashes_.push_back(hash);
    all_.insert(all_.end(), set.begin(), set.end());
    ends_.push_back(all_.size());
    return slots_[slot];
  }

  [[nodiscard]] std::span<const NetworkPosition> operator[](std::uint32_t number) const noexcept {
    const std::size_t begin = number == 0 ? 0 : ends_[number - 1];
    return std::span(all_).subspan(begin, ends_[number] - begin);
  }

  [[nodiscard]] std::size_t size() const noexcept { return ends_.size(); }

private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  void grow() {
    slots_.assign(std::max<std::size_t>(64, 2 * slots_.size()), none);
    for (std::uint32_t number = 0; number < size(); ++number) {
      std::size_t slot = hashes_[number] & (slots_.size() - 1);
      while (slots_[slot] != none) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = number;
    }
  }

  std::vector<NetworkPosition> all_;
  std::vector<std::size_t> ends_;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::uint32_t> slots_;  // open addressing
};

}  // namespace detail

/// Walks a grammar byte by byte.
///
/// A state is the set of all positions in the network that the bytes so far can have led to. What comes after the end
/// of a rule is a frame: the set of positions of those who called the rule at one place of the text, shared by all of
/// them, as in the tables of Earley ("An efficient context-free parsing algorithm", 1970), so an ambiguous grammar
/// has polynomially many. Who calls a rule last passes its own frame on, so recursion at the end of a rule does not
/// grow. Sets are stored once, and so are the states that bytes lead to: bytes that were read before in the same state
/// cost a look into a table.
///
/// States are numbers and belong to their automaton. Positions that no text can lead to the end from are left out, so a
/// state other than `dead` can always be completed. Not for several threads at once.
///
/// A state costs time and memory for each of its positions. What makes a new one throws UnsupportedError if it would
/// have more than max_positions; the automaton is then as it was.
class ByteAutomaton {
public:
  using State = std::uint32_t;
  static constexpr State dead = 0;
  static constexpr std::size_t max_positions = 1 << 16;

  explicit ByteAutomaton(std::shared_ptr<const RuleNetwork> network);

  /// Before the first byte.
  [[nodiscard]] State start() const noexcept { return start_; }

  [[nodiscard]] State next(State state, unsigned char byte) { return next_of_class(state, network_->class_of[byte]); }
  /// The same for all bytes of a class (RuleNetwork::class_of).
  [[nodiscard]] State next_of_class(State state, std::size_t byte_class) {
    const State known = next_[state * n_classes_ + byte_class];
    return known != unknown ? known : find_next(state, byte_class);
  }
  /// What is known of the states after each class of bytes; `unknown` where next_of_class has not been asked. Valid
  /// until it is asked for what is unknown.
  static constexpr State unknown = ~State{0};
  [[nodiscard]] const State* known_next(State state) const noexcept { return next_.data() + state * n_classes_; }

  [[nodiscard]] State next(State state, std::string_view bytes) {
    for (const char byte : bytes) state = next(state, static_cast<unsigned char>(byte));
    return state;
  }

  /// Whether the text may end here.
  [[nodiscard]] bool may_end(State state) const noexcept { return least_[state] == 0; }

  /// Whether the text must end here: it may, and no byte can follow.
  [[nodiscard]] bool must_end(State state) const noexcept { return may_end(state) && states_[state].size() == 1; }

  /// How many bytes at least must follow; RuleNetwork::unreachable in the dead state.
  [[nodiscard]] std::uint64_t n_least(State state) const noexcept { return least_[state]; }

  /// The shortest text that may follow and end here; of several, the one with the least bytes.
  /// Throws UnsupportedError if it is longer than a megabyte, ArgumentError in the dead state.
  [[nodiscard]] std::string shortest_end(State state);

  [[nodiscard]] const RuleNetwork& network() const noexcept { return *network_; }
  [[nodiscard]] std::size_t n_states() const noexcept { return states_.size(); }

  /// A state in which the next n_bytes bytes may be the same as in this one; deep in a long repetition there is one for
  /// all of them. `frames` keeps what was found for this number of bytes; begin with none.
  [[nodiscard]] State alike(State state, std::size_t n_bytes, std::vector<std::uint32_t>& frames);

  /// The same state in an automaton that knows no other: to go on with less memory.
  [[nodiscard]] std::pair<ByteAutomaton, State> only(State state) const;

private:
  using Position = detail::NetworkPosition;

  struct PositionHash {
    std::size_t operator()(const Position& position) const noexcept {
      return static_cast<std::size_t>(
          (static_cast<std::uint64_t>(position.node) << 32 | position.frame) * 0x9e3779b97f4a7c15u >> 20);
    }
  };

  State find_next(State state, std::size_t byte_class);

  /// The state of all positions that those in open_ lead to without reading.
  State close();
  void visit(Position position);
  /// Forgets the state that is being made, and throws.
  [[noreturn]] void refuse();
  State intern_state();
  std::uint32_t intern_frame(std::vector<Position>& positions);
  [[nodiscard]] std::uint64_t n_least(Position position) const noexcept;

  /// The positions of a state of `from`, which may be this, with nodes that are alike for n_bytes bytes as one.
  State copy_state(const ByteAutomaton& from, State state, std::size_t n_bytes, std::vector<std::uint32_t>& copies);
  std::uint32_t copy_frame(const ByteAutomaton& from, std::uint32_t frame, std::size_t n_bytes,
                           std::vector<std::uint32_t>& copies);

  std::shared_ptr<const RuleNetwork> network_;
  std::size_t n_classes_;
  detail::PositionSets states_, frames_;
  std::vector<State> next_;                 // [state, class]
  std::vector<std::uint64_t> least_;        // for each state
  std::vector<std::uint64_t> frame_least_;  // for each frame: bytes to the end of the text, the fewest
  State start_ = dead;

  // While a state is made.
  std::vector<Position> open_, found_;
  std::unordered_set<Position, PositionHash> seen_;
  std::vector<std::vector<Position>> callers_;  // for each rule: where it returns to
  std::vector<int> called_;                     // their ranks, a heap with the least in front
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <functional>
#include <limits>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API ByteAutomaton::ByteAutomaton(std::shared_ptr<const RuleNetwork> network)
    : network_(std::move(network)), n_classes_(network_->byte_of.size()), callers_(network_->rules.size()) {
  intern_state();  // the dead one
  found_ = {{0, 0}};
  intern_frame(found_);  // after the root comes the end of the text
  found_.clear();
  open_.push_back({network_->rule(network_->root).first, 0});
  start_ = close();
}

RWKV_API std::uint64_t ByteAutomaton::n_least(Position position) const noexcept {
  if (position.node == 0) return 0;
  constexpr std::uint64_t most = RuleNetwork::unreachable - 1;
  const std::uint64_t inside = network_->least(position.node), after = frame_least_[position.frame];
  return inside > most - after ? most : inside + after;
}

RWKV_API std::uint32_t ByteAutomaton::intern_frame(std::vector<Position>& positions) {
  std::ranges::sort(positions);
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  const std::uint32_t frame = frames_.intern(positions);
  if (frame == frame_least_.size()) {
    std::uint64_t least = RuleNetwork::unreachable;
    for (const Position& position : positions) least = std::min(least, n_least(position));
    frame_least_.push_back(least);
  }
  return frame;
}

RWKV_API ByteAutomaton::State ByteAutomaton::intern_state() {
  std::ranges::sort(found_);
  found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
  const State state = states_.intern(found_);
  if (state == least_.size()) {
    std::uint64_t least = RuleNetwork::unreachable;
    for (const Position& position : found_) least = std::min(least, n_least(position));
    least_.push_back(least);
    next_.resize(next_.size() + n_classes_, state == dead ? dead : unknown);
  }
  found_.clear();
  return state;
}

RWKV_API void ByteAutomaton::visit(Position position) {
  const RuleNetwork::Node& node = network_->node(position.node);
  if (position.node != 0 && network_->least(position.node) == RuleNetwork::unreachable) return;
  if (!seen_.insert(position).second) return;
  switch (node.kind) {
    case RuleNetwork::Kind::accept:
    case RuleNetwork::Kind::byte: found_.push_back(position); return;
    case RuleNetwork::Kind::end: {
      const auto callers = frames_[position.frame];
      open_.insert(open_.end(), callers.begin(), callers.end());
      return;
    }
    case RuleNetwork::Kind::either:
      open_.push_back({node.next, position.frame});
      open_.push_back({node.other, position.frame});
      return;
    case RuleNetwork::Kind::call: break;
    default: return;
  }
  // Rules of smaller rank have been entered, with the frame of all their callers here; they do not call this one later.
  auto& callers = callers_[static_cast<std::size_t>(node.other)];
  if (callers.empty()) {
    called_.push_back(network_->rule(node.other).rank);
    std::ranges::push_heap(called_, std::greater<>());
  }
  if (network_->is_nullable(node.other)) open_.push_back({node.next, position.frame});
  if (network_->node(node.next).kind == RuleNetwork::Kind::end) {
    const auto own = frames_[position.frame];
    callers.insert(callers.end(), own.begin(), own.end());
  } else {
    callers.push_back({node.next, position.frame});
  }
}

RWKV_API void ByteAutomaton::refuse() {
  open_.clear();
  found_.clear();
  seen_.clear();
  for (const int rank : called_)
    callers_[static_cast<std::size_t>(network_->by_rank[static_cast<std::size_t>(rank)])].clear();
  called_.clear();
  throw UnsupportedError({.item = "grammar",
                          .problem = "is too ambiguous: one text can be read in too many ways",
                          .expected = "at most " + std::to_string(max_positions) + " places in it at a time",
                          .hint = "Repetitions of what repeats, or of what may be empty, multiply."});
}

RWKV_API ByteAutomaton::State ByteAutomaton::close() {
  while (true) {
    while (!open_.empty()) {
      const Position position = open_.back();
      open_.pop_back();
      visit(position);
      if (seen_.size() > max_positions) refuse();
    }
    if (called_.empty()) break;
    std::ranges::pop_heap(called_, std::greater<>());
    const int rule = network_->by_rank[static_cast<std::size_t>(called_.back())];
    called_.pop_back();
    auto& callers = callers_[static_cast<std::size_t>(rule)];
    open_.push_back({network_->rule(rule).first, intern_frame(callers)});
    callers.clear();
  }
  seen_.clear();
  return intern_state();
}

RWKV_API ByteAutomaton::State ByteAutomaton::find_next(State state, std::size_t byte_class) {
  const unsigned char byte = network_->byte_of[byte_class];
  for (const Position& position : states_[state]) {
    const RuleNetwork::Node& node = network_->node(position.node);
    const bool reads = node.kind == RuleNetwork::Kind::byte && node.bytes.first <= byte && byte <= node.bytes.last;
    if (reads) open_.push_back({node.next, position.frame});
  }
  const State next = open_.empty() ? dead : close();
  next_[state * n_classes_ + byte_class] = next;
  return next;
}

RWKV_API std::string ByteAutomaton::shortest_end(State state) {
  constexpr std::uint64_t most = 1 << 20;
  if (state == dead) throw ArgumentError({.item = "grammar", .problem = "the text does not fit, so it has no end"});
  if (least_[state] > most) {
    throw UnsupportedError({.item = "grammar", .problem = "the shortest end of the text is longer than a megabyte"});
  }
  std::string text;
  while (least_[state] > 0) {
    unsigned char byte = 255;
    for (const Position& position : states_[state]) {  // after the byte of one that is nearest, one less is missing
      if (n_least(position) == least_[state]) byte = std::min(byte, network_->node(position.node).bytes.first);
    }
    state = next(state, byte);
    text += static_cast<char>(byte);
  }
  return text;
}

RWKV_API std::uint32_t ByteAutomaton::copy_frame(const ByteAutomaton& from, std::uint32_t frame, std::size_t n_bytes,
                                                 std::vector<std::uint32_t>& copies) {
  copies.resize(std::max(copies.size(), from.frames_.size()), unknown);
  std::vector<std::uint32_t> stack{frame};  // a frame is copied after those that it holds, which are older
  while (!stack.empty()) {
    const std::uint32_t original = stack.back();
    const std::size_t n_open = stack.size();
    for (const Position& position : from.frames_[original]) {
      if (position.node != 0 && copies[position.frame] == unknown) stack.push_back(position.frame);
    }
    if (stack.size() > n_open) continue;
    stack.pop_back();
    std::vector<Position> copy;
    for (const auto& [node, parent] : from.frames_[original]) {
      copy.push_back({network_->alike(node, n_bytes), node == 0 ? 0 : copies[parent]});
    }
    copies[original] = intern_frame(copy);
  }
  return copies[frame];
}

RWKV_API ByteAutomaton::State ByteAutomaton::copy_state(const ByteAutomaton& from, State state, std::size_t n_bytes,
                                                        std::vector<std::uint32_t>& copies) {
  const auto positions = from.states_[state];
  std::vector<Position> copy(positions.begin(), positions.end());
  for (auto& [node, frame] : copy) {
    if (node != 0) frame = copy_frame(from, frame, n_bytes, copies);
  }
  found_ = std::move(copy);
  return intern_state();
}

RWKV_API ByteAutomaton::State ByteAutomaton::alike(State state, std::size_t n_bytes,
                                                   std::vector<std::uint32_t>& frames) {
  return network_->runs.empty() ? state : copy_state(*this, state, n_bytes, frames);
}

RWKV_API std::pair<ByteAutomaton, ByteAutomaton::State> ByteAutomaton::only(State state) const {
  ByteAutomaton copy(network_);
  std::vector<std::uint32_t> copies;
  const State number = copy.copy_state(*this, state, std::numeric_limits<std::size_t>::max(), copies);
  return {std::move(copy), number};
}

RWKV_NAMESPACE_END
#endif
