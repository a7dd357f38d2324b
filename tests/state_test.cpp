// SPDX-License-Identifier: MIT
#include "rwkv/state.hpp"

#include "support/states.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::counted;
using rwkv_test::LayoutOnly;

namespace {

StateLayout two_tensors() {
  StateLayout layout;
  layout.add("a", {2});
  layout.add("b", {2, 3}, -1);
  return layout;
}

}  // namespace

TEST_SUITE_BEGIN("state");

TEST_CASE("tensors have names, shapes and initial values") {
  const auto state = LayoutOnly({Generation::v4, 2, 16, 16, 32, 0, 0, 20}).new_state();
  CHECK(state.tensor("blocks.1.att.xx").size() == 16);
  for (const float value : state.tensor("blocks.0.att.pp")) CHECK(value == -1e30f);
  for (const float value : state.tensor("blocks.1.ffn.xx")) CHECK(value == 0.0f);
  CHECK(state.layout().size() == 2 * 5 * 16);
  CHECK_THROWS_WITH_AS(static_cast<void>(state.tensor("x")), doctest::Contains("state tensor 'x': there is none"),
                       ArgumentError);
}

TEST_CASE("a copy is a fork, and reset forgets") {
  const LayoutOnly model(two_tensors());
  auto state = counted(model.new_state());
  const auto fork = state;
  CHECK(fork == state);
  state.tensor("b")[5] = 0;
  CHECK(fork != state);
  CHECK(fork.tensor("b")[5] == 8);
  state.reset();
  CHECK(state == model.new_state());
  CHECK(state.tensor("b")[0] == -1);
}

TEST_CASE("a tensor may begin with trained values, one for each element") {
  StateLayout layout = two_tensors();
  const std::vector<double> values{1, 2, 3, 4, 5, 6};
  layout.set_initial(values);
  auto state = LayoutOnly(layout).new_state();
  CHECK(state.tensor("a")[1] == 0);
  CHECK(std::ranges::equal(state.tensor("b"), values));
  CHECK_THROWS_WITH_AS(layout.set_initial(std::span(values).first(5)), doctest::Contains("expected 6 values, found 5"),
                       ArgumentError);
}

TEST_CASE("layouts are equal if their tensors and their models are") {
  StateLayout a = two_tensors(), b = two_tensors();
  CHECK(a == b);
  a.set_model(Generation::v7, "0123");
  CHECK(a != b);
  b.set_model(Generation::v7, "4567");
  CHECK(a != b);
  b.set_model(Generation::v6, "0123");
  CHECK(a != b);
  b.set_model(Generation::v7, "0123");
  CHECK(a == b);
  b.add("c", {1});
  CHECK(a != b);
}

TEST_SUITE_END();
