// SPDX-License-Identifier: MIT
// The sampling flags of the program, as a user gives them.
#include "examples/program.hpp"

using namespace rwkv_test;

namespace {

constexpr int wrong_usage = 2;

std::string generated(const std::string& flags) {
  const Result result = program("generate --no-echo -p 'Once upon a time' -n 80 --seed 5 " + flags);
  CAPTURE(result.err);
  CHECK(result.status == 0);
  return result.out;
}

}  // namespace

TEST_SUITE_BEGIN("examples/sampling");

TEST_CASE("every sampler can be asked for, changes what is drawn, and draws it again") {
  const std::string plain = generated("");
  for (const char* flags : {"--typical-p 0.3 --top-p 1", "--xtc-probability 1", "--mirostat 1 --mirostat-rate 0.5",
                            "--repetition-penalty 1.5", "--repetition-penalty 3 --repetition-decay 0.8",
                            "--temperature 1.5 --temperature-first", "--logit-bias 33=-100,261=2.5"}) {
    CAPTURE(flags);
    const std::string text = generated(flags);
    CHECK(text != plain);
    CHECK(generated(std::string(flags) + " --threads 1") == text);
  }
}

TEST_CASE("a banned text does not appear, whatever its tokens") {
  REQUIRE(generated("").find("the") != std::string::npos);
  const std::string text = generated("--ban-text the --ban-text ' a '");
  CHECK(text.find("the") == std::string::npos);
  CHECK(text.find(" a ") == std::string::npos);
}

TEST_CASE("mistakes in them are wrong usage, told by name") {
  check_error("generate --logit-bias 3", wrong_usage,
              "--logit-bias: expected TOKEN=NUMBER, such as 261=-1.5, found '3'");
  check_error("generate --logit-bias 3=", wrong_usage, "--logit-bias");
  check_error("generate --logit-bias 3=1x", wrong_usage, "--logit-bias");
  check_error("generate --logit-bias x=1", wrong_usage, "--logit-bias");
  check_error("generate -m /no/model --top-p 2", wrong_usage, "option top_p: expected a number from 0 to 1, found 2");
  check_error("chat -m /no/model --top-p 1.01 </dev/null", wrong_usage, "option top_p");
  for (const char* seed : {"-1", "18446744073709551616", "1x", "''"}) {
    check_error(std::string("generate --seed ") + seed, wrong_usage, "--seed");
  }
  CHECK(program("generate -n 1 --seed 18446744073709551615").status == 0);
  check_error("generate --typical-p 2", wrong_usage, "option typical_p: expected a number from 0 to 1, found 2");
  check_error("generate --ban-text ''", wrong_usage, "option banned_strings: one of them is empty");
}

TEST_SUITE_END();
