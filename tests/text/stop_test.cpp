// SPDX-License-Identifier: MIT
#include "rwkv/text/stop.hpp"

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("text/stop");

TEST_CASE("what may begin a stop is held back, and released when it does not") {
  StopMatcher matcher({"\n\nUser:"});
  std::string text;
  CHECK_FALSE(matcher.push("Hello\n", text));
  CHECK(text == "Hello");
  CHECK(matcher.held() == "\n");
  CHECK_FALSE(matcher.push("\nUsual", text));
  CHECK(text == "Hello\n\nUsual");
  CHECK(matcher.held().empty());
}

TEST_CASE("a stop is found wherever the pieces are cut, and nothing of it is released") {
  const std::string stream = "one\n\nUse two\n\nUser: three";
  for (std::size_t cut = 1; cut < stream.size(); ++cut) {
    StopMatcher matcher({"\n\nUser:", "never"});
    std::string text;
    bool is_stop = matcher.push(stream.substr(0, cut), text);
    if (!is_stop) is_stop = matcher.push(stream.substr(cut), text);
    CHECK(is_stop);
    CHECK(text == "one\n\nUse two");
  }
}

TEST_CASE("the earliest of several stops counts, also when a longer one begins before it") {
  StopMatcher matcher({"bcd", "abcx", "c"});
  std::string text;
  CHECK(matcher.push("zabc", text));
  CHECK(text == "zab");
}

TEST_CASE("stops that begin with themselves") {
  StopMatcher matcher({"aab"});
  std::string text;
  CHECK_FALSE(matcher.push("aaa", text));
  CHECK(text == "a");
  CHECK(matcher.push("b", text));
  CHECK(text == "a");
}

TEST_CASE("without stops everything passes, and flush releases the rest") {
  StopMatcher none({""});
  std::string text;
  CHECK_FALSE(none.push("abc", text));
  CHECK(text == "abc");
  StopMatcher matcher({"cd"});
  text.clear();
  CHECK_FALSE(matcher.push("abc", text));
  matcher.flush(text);
  CHECK(text == "abc");
}

TEST_SUITE_END();
