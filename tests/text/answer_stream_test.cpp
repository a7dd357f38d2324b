// SPDX-License-Identifier: MIT
#include "rwkv/text/answer_stream.hpp"

#include "support/support.hpp"

using namespace rwkv;

namespace {

struct Shown {
  std::string thought, answer;
};

/// What a reader sees of an answer that comes in pieces of n bytes.
Shown shown(const char* form, const std::string& answer, std::size_t n) {
  AnswerStream stream(chat_template(form));
  Shown all;
  const auto add = [&all](const AnswerStream::Piece& piece) {
    all.thought += piece.thought;
    all.answer += piece.answer;
  };
  for (std::size_t i = 0; i < answer.size(); i += n) add(stream.push(std::string_view(answer).substr(i, n)));
  add(stream.flush());
  return all;
}

}  // namespace

TEST_SUITE_BEGIN("text/answer_stream");

TEST_CASE("thinking and answer are told apart, in pieces of any size") {
  for (std::size_t n = 1; n < 40; ++n) {
    CAPTURE(n);
    const Shown think = shown("think", ">\nHm, a < b?\n</think>\n\nYes: a </b>.", n);
    CHECK(think.thought == "Hm, a < b?\n");
    CHECK(think.answer == "Yes: a </b>.");
    const Shown fake = shown("fake-think", ">\nYes.", n);
    CHECK(fake.thought.empty());
    CHECK(fake.answer == "Yes.");
    const Shown unfinished = shown("think", ">Hm </thi", n);
    CHECK(unfinished.thought == "Hm </thi");
    CHECK(unfinished.answer.empty());
    // Nothing of the opening is a thought, whether the model goes on with it or not.
    CHECK(shown("fake-think", "", n).thought.empty());
    CHECK(shown("fake-think", " Hm", n).thought == "Hm");
    CHECK(shown("think", " \n", n).thought.empty());
    const Shown plain = shown("world", " Yes </think>. ", n);
    CHECK(plain.thought.empty());
    CHECK(plain.answer == "Yes </think>. ");
    CHECK(shown("text", " a time", n).answer == " a time");
  }
}

TEST_SUITE_END();
