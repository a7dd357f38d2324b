// SPDX-License-Identifier: MIT
// What takes long tells a terminal how far it is, and nobody else.
#include "examples/program.hpp"
#include "examples/terminal.hpp"
#include "support/support.hpp"

using rwkv_test::shell;
using rwkv_test::TemporaryFile;
using rwkv_test::Terminal;
using rwkv_test::write_file;

namespace {

/// A text that a model of 4 M parameters reads for longer than it takes until progress is shown first.
class LongText {
public:
  explicit LongText(int n_sentences) {
    std::string text;
    for (int i = 0; i < n_sentences; ++i) text += "There was a king who had a daughter more beautiful than the sun. ";
    write_file(file_.path(), text);
  }
  [[nodiscard]] std::string path() const { return file_.path(); }

private:
  TemporaryFile file_{".txt"};
};

}  // namespace

TEST_SUITE_BEGIN("examples/progress");

TEST_CASE("prompts and evaluations show rate and time left on a terminal") {
  const LongText text(1000);
  const std::pair<std::string, std::string> commands[] = {
      {"generate --no-echo -n 1 --isa scalar --prompt-file " + text.path(), "reading ["},
      {"eval perplexity --isa scalar " + text.path(), "evaluating ["}};
  for (const auto& each : commands) {  // clang 14 captures no structured bindings
    const auto& command = each.first;
    const auto& shown = each.second;
    CAPTURE(command);
    Terminal loud(command);
    CHECK(loud.until(shown) != "");
    CHECK(loud.until("tokens/s") != "");
    CHECK(loud.until(" s left") != "");
    CHECK(loud.until("\r\033[K") != "");  // it goes away
    CHECK(loud.status() == 0);
  }
}

TEST_CASE("there is no progress with --quiet, nor in a pipe") {
  const LongText text(200);
  const std::string command = "generate --no-echo -n 1 --isa scalar --prompt-file " + text.path();
  Terminal quiet(command + " --quiet");
  CHECK(quiet.until("\n").find("reading") == std::string::npos);
  CHECK(quiet.status() == 0);
  const rwkv_test::Result piped = shell(std::string(RWKV_PROGRAM) + " " + command);
  CHECK(piped.status == 0);
  CHECK(piped.err == "");
}

TEST_CASE("Ctrl-C while a text is read ends with 130, and nothing is written") {
  const LongText text(4000);
  const TemporaryFile ids(".txt"), out(".safetensors");
  std::string numbers;
  for (int i = 0; i < 20'000; ++i) numbers += std::to_string(i % 3000) + " ";
  write_file(ids.path(), numbers);
  for (const std::string& command : {"generate --isa scalar --prompt-file " + text.path(),
                                     "logits --isa scalar --tokens @" + ids.path() + " --out " + out.path()}) {
    CAPTURE(command);
    Terminal terminal(command);
    static_cast<void>(terminal.until("reading ["));
    terminal.type("\x03");
    CHECK(terminal.status() == 130);
  }
  CHECK(!std::filesystem::exists(out.path()));
}

TEST_SUITE_END();
