// SPDX-License-Identifier: MIT
// Templates of chats, our own and those of GGUF files: an answer comes out the same in one piece and byte by byte.
#include "rwkv/text/answer_stream.hpp"

#include "fuzz.hpp"

namespace {

struct Shown {
  std::string thought, answer;
  friend bool operator==(const Shown&, const Shown&) = default;
};

Shown shown(rwkv::AnswerStream stream, std::string_view text, std::size_t piece) {
  Shown result;
  const auto add = [&](const rwkv::AnswerStream::Piece& each) {
    result.thought += each.thought;
    result.answer += each.answer;
  };
  for (std::size_t i = 0; i < text.size(); i += piece) add(stream.push(text.substr(i, piece)));
  add(stream.flush());
  return result;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = rwkv_fuzz::text_of(data, size);
  rwkv_fuzz::only_errors([&] { static_cast<void>(rwkv::recognised_chat_template(text)); });
  return rwkv_fuzz::only_errors([&] {
    const rwkv::ChatTemplate form = rwkv::parse_chat_template(text);
    const std::string answer = form.prompt(text) + "</think>\n" + form.close(text);
    const rwkv::AnswerStream stream(form);
    rwkv_fuzz::require(shown(stream, answer, answer.size()) == shown(stream, answer, 1));
  });
}
