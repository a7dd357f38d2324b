// SPDX-License-Identifier: MIT
#include "rwkv/core/function_ref.hpp"

#include <memory>
#include <string>

#include "support/support.hpp"

using namespace rwkv;

namespace {

int twice(int value) { return 2 * value; }
int apply(FunctionRef<int(int)> function, int value) { return function(value); }

}  // namespace

TEST_SUITE_BEGIN("core/function_ref");

TEST_CASE("lambdas, functions, pointers to them and constant objects are called") {
  int n_calls = 0;
  CHECK(apply([&](int value) { return value + ++n_calls; }, 5) == 6);
  CHECK(n_calls == 1);
  CHECK(apply(twice, 5) == 10);
  CHECK(apply(&twice, 5) == 10);
  const auto thrice = [](int value) { return 3 * value; };
  CHECK(apply(thrice, 5) == 15);
}

TEST_CASE("the object itself is called, not a copy, and a copy of the reference calls the same") {
  const auto count = [n = 0](int step) mutable { return n += step; };
  auto counter = count;
  const FunctionRef<int(int)> first = counter;
  const FunctionRef<int(int)> second = first;
  CHECK(first(1) == 1);
  CHECK(second(1) == 2);
  CHECK(counter(1) == 3);
}

TEST_CASE("arguments are passed on as they are, results may be converted or dropped") {
  const auto take = [](std::unique_ptr<int> value) { return *value; };
  const FunctionRef<long(std::unique_ptr<int>)> function = take;
  CHECK(function(std::make_unique<int>(7)) == 7);
  std::string text;
  const auto append = [&](std::string& to) -> std::string& { return to += "x"; };
  const FunctionRef<void(std::string&)> drop = append;
  drop(text);
  CHECK(text == "x");
}

TEST_SUITE_END();
