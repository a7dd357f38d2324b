// SPDX-License-Identifier: MIT
#include "rwkv/session/session_checkpoints.hpp"

#include <memory>

#include "support/support.hpp"

using namespace rwkv;

namespace {

State small_state() {
  auto layout = std::make_shared<StateLayout>();
  layout->add("x", {2});
  return State(std::move(layout));
}

/// Checkpoints of a text that grows token by token, at each of which one is due or not.
struct Growing {
  explicit Growing(Index interval, Index n_most) : checkpoints(interval, n_most) {}
  void grow(Index n, bool is_asked_for = false) {
    for (Index i = 0; i < n; ++i) {
      place = tree.append(place, std::vector<Token>{static_cast<Token>(place.position)});
      const bool is_due = place.position >= checkpoints.next();
      if (is_due) checkpoints.arrive(place);
      if (!is_due && !(is_asked_for && i + 1 == n)) continue;
      if (SessionCheckpoint* const added = checkpoints.add(place, state, tree)) added->is_regular = is_due;
    }
  }
  [[nodiscard]] std::vector<Index> positions() const {
    std::vector<Index> all;
    for (const SessionCheckpoint& each : checkpoints.all()) all.push_back(each.place.position);
    std::ranges::sort(all);
    return all;
  }
  TokenTree tree;
  TextPlace place;
  State state = small_state();
  SessionCheckpoints checkpoints;
};

using Positions = std::vector<Index>;

}  // namespace

TEST_SUITE_BEGIN("session/session_checkpoints");

TEST_CASE("while there is room nothing is given up") {
  Growing text(10, 8);
  text.grow(35, true);
  CHECK(text.positions() == Positions{10, 20, 30, 35});
  CHECK(text.checkpoints.interval() == 10);
  CHECK(text.checkpoints.next() == 40);
}

TEST_CASE("those that were asked for go first, the oldest of them before the others") {
  Growing text(10, 6);
  for (const Index n : {11, 1, 1, 1}) text.grow(n, true);  // 10 regular, 11, 12, 13, 14
  text.grow(6);                                            // 20
  CHECK(text.positions() == Positions{10, 11, 12, 13, 14, 20});
  text.checkpoints.use(*text.checkpoints.at({0, 11}));
  text.grow(2, true);  // 22 instead of 12, which was used longest ago
  CHECK(text.positions() == Positions{10, 11, 13, 14, 20, 22});
}

TEST_CASE("the interval doubles when regular ones would take more than half of the room") {
  Growing text(10, 4);
  text.grow(1000);
  CHECK(text.checkpoints.all().size() == 4);
  CHECK(text.checkpoints.interval() > 160);
  CHECK(text.checkpoints.interval() <= 640);
  // Wherever one goes back to, the way from the checkpoint before is shorter than the interval.
  for (Index position = 0; position <= 1000; position += 7) {
    const SessionCheckpoint* const before = text.checkpoints.before({0, position}, text.tree);
    CHECK(position - (before == nullptr ? 0 : before->place.position) < text.checkpoints.interval());
  }
}

TEST_CASE("without room there are none, and the interval says so") {
  Growing text(10, 0);
  text.grow(100, true);
  CHECK(text.checkpoints.all().empty());
  CHECK(text.checkpoints.interval() > 100);
}

TEST_CASE("the regular ones of another branch are given up for the present text") {
  Growing text(10, 4);
  text.grow(20);
  const TextPlace other = text.place;
  text.place = {0, 5};
  text.checkpoints.arrive(text.place);
  text.grow(1, true);
  text.grow(1, true);
  text.grow(3);  // 10, on the new line
  CHECK(text.checkpoints.at({0, 10}) == nullptr);
  CHECK(text.checkpoints.at(other) != nullptr);
  CHECK(text.checkpoints.at(text.place) != nullptr);
  CHECK(text.checkpoints.interval() == 10);
}

TEST_CASE("what the tokens lead to, and what the tree has forgotten") {
  Growing text(10, 8);
  text.grow(30);
  std::vector<Token> tokens(25);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<Token>(i);
  REQUIRE(text.checkpoints.ahead({}, tokens, text.tree) != nullptr);
  CHECK(text.checkpoints.ahead({}, tokens, text.tree)->place.position == 20);
  tokens[12] = 99;
  CHECK(text.checkpoints.ahead({}, tokens, text.tree)->place.position == 10);
  CHECK(text.checkpoints.ahead({0, 10}, tokens, text.tree) == nullptr);
  text.tree = TokenTree();
  text.checkpoints.forget(text.tree);
  CHECK(text.positions().empty());
}

TEST_SUITE_END();
