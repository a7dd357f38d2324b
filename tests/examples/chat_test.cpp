// SPDX-License-Identifier: MIT
// rwkv chat, as a person uses it: through pipes, and in a terminal.
#include <csignal>

#include "examples/program.hpp"
#include "examples/terminal.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/io/gguf_write.hpp"
#include "rwkv/io/vocabulary.hpp"
#include "rwkv/rwkv.hpp"
#include "support/support.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using rwkv_test::check_error;
using rwkv_test::fixture;
using rwkv_test::program;
using rwkv_test::read_file;
using rwkv_test::Result;
using rwkv_test::shared_file;
using rwkv_test::shell;
using rwkv_test::TemporaryFile;
using rwkv_test::Terminal;
using rwkv_test::write_file;

namespace {

const std::string model_path = fixture("../../examples/models/fairy-tales-v7.safetensors");
const std::string chat = "chat -m " + model_path + " --temperature 0 -n 12 ", in_world = "--template world ";

/// Runs a chat whose input is these lines, in the template world unless the arguments name another.
Result run(const std::string& lines, const std::string& arguments = "") {
  const TemporaryFile input(".txt");
  write_file(input.path(), lines);
  const std::string form = arguments.find("--template") == std::string::npos ? in_world : "";
  return shell(std::string(RWKV_PROGRAM) + " " + chat + form + arguments + " <" + input.path());
}

/// What the model answers to each of these turns, after the library alone.
std::vector<std::string> answers(const std::vector<std::string>& said, const std::string& system = "") {
  static const Model model = load_model(model_path);
  static const Tokenizer tokenizer = tokenizer_for(model, model_path);
  const ChatTemplate& form = chat_template("world");
  Workspace workspace({1});
  Generator generator(model, tokenizer, workspace,
                      {.temperature = 0, .presence_penalty = 0.5, .frequency_penalty = 0.5});
  if (!system.empty()) generator.read(form.begin(system));
  std::vector<std::string> result;
  std::string closing;
  for (const std::string& text : said) {
    generator.read(closing + form.prompt(text));
    const std::string answer = generator.generate({.max_tokens = 12, .stops = form.stops}).text;
    closing = form.close(answer);
    std::string shown = answer.substr(std::min(answer.find_first_not_of(" \n"), answer.size()));
    result.push_back(shown.ends_with('\n') ? shown : shown + "\n");
  }
  return result;
}

std::string on_terminal(std::string text) {
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 2)) text.insert(at, "\r");
  return text;
}

const std::string control_a = "\x01", control_c = "\x03", control_d = "\x04", control_w = "\x17", up = "\033[A",
                  left = "\033[D", backspace = "\x7f";

}  // namespace

TEST_SUITE_BEGIN("examples/chat");

TEST_CASE("in a pipe each line is a turn, and nothing but answers is on standard output") {
  const auto expected = answers({"There was a king", "Who is he?"});
  const Result result = run("There was a king\n\n  \nWho is he?");
  CHECK(result.status == 0);
  CHECK(result.err.empty());
  CHECK(result.out == expected[0] + expected[1]);
  CHECK(run("There was a king\r\n/quit\nWho is he?\n").out == expected[0]);
  CHECK(run("").out.empty());
  CHECK(run("", "").status == 0);
  CHECK(run("There was a king\n", "--system 'Be nice.'").out == answers({"There was a king"}, "Be nice.")[0]);
  CHECK(run("/system Be nice.\nThere was a king\n").out == answers({"There was a king"}, "Be nice.")[0]);
  CHECK(run("//help\n").out == answers({"/help"})[0]);
}

TEST_CASE("without a model the one in the program goes on with what is said") {
  const Result story = shell("echo 'Once upon a time' | " + std::string(RWKV_PROGRAM) + " chat --seed 1 -n 5");
  CHECK(story.status == 0);
  CHECK(story.out.size() > 5);
}

TEST_CASE("undo, redo and retry") {
  const auto one = answers({"one"}), two = answers({"two"}), both = answers({"one", "two"});
  CHECK(run("one\n/undo\ntwo\n").out == one[0] + two[0]);
  CHECK(run("one\n/undo\n/redo\ntwo\n").out == one[0] + both[1]);
  CHECK(run("one\n/retry\ntwo\n").out == one[0] + one[0] + both[1]);
  CHECK(run("one\ntwo\n/undo\n/undo\n/undo\ntwo\n").out == both[0] + both[1] + two[0]);
  CHECK(run("/undo\n").err == "There is nothing to take back.\n");
  CHECK(run("/redo\n").err == "There is nothing to bring back.\n");
  CHECK(run("/retry\n").err == "There is nothing to try again.\n");
  // Another seed of the random choices gives another answer; taken back, it leaves the one before, and then the turn.
  const std::string wild = "one\n/params temperature=3 top_p=1\n/retry\n", tame = "/params temperature=0\n";
  const auto alone = answers({"Who is he?"}), second = answers({"one", "Who is he?"});
  REQUIRE(alone[0] != second[1]);
  const auto after = [&](const std::string& lines) {  // all answers after the first
    const Result result = run(wild + lines + tame + "Who is he?\n", "--seed 1");
    REQUIRE(result.out.starts_with(one[0]));
    return result.out.substr(one[0].size());
  };
  const std::string retried = after("");
  const std::string again = retried.substr(0, retried.find('\n') + 1);
  CHECK(again != one[0]);
  CHECK(retried != again + second[1]);
  CHECK(after("/undo\n") == again + second[1]);
  CHECK(after("/undo\n/undo\n") == again + alone[0]);
  CHECK(after("/undo\n/redo\n") == retried);
  CHECK(after("/undo\n/undo\n/redo\n") == again + second[1]);
}

TEST_CASE("a new beginning can be taken back, but not the first") {
  const TemporaryFile file(".chat");
  const auto both = answers({"one", "two"}), nice = answers({"two"}, "Be nice.");
  CHECK(run("one\n/system Be nice.\n/undo\ntwo\n").out == both[0] + both[1]);
  CHECK(run("one\n/system Be nice.\n/undo\n/redo\ntwo\n").out == both[0] + nice[0]);
  CHECK(run("/undo\n", "--system 'Be nice.'").err == "There is nothing to take back.\n");
  CHECK(run("one\n/system Be nice.\n/save " + file.path() + "\n").status == 0);
  CHECK(run("/undo\ntwo\n", "--load " + file.path()).out == both[1]);
  CHECK(run("/undo\n/redo\ntwo\n", "--load " + file.path()).out == nice[0]);
  std::string bytes = read_file(file.path());
  const std::size_t kept = bytes.rfind("n_kept");
  REQUIRE(kept != std::string::npos);
  bytes[bytes.find(':', kept) + 1] = '9';
  write_file(file.path(), bytes);
  check_error(chat + in_world + "--load " + file.path() + " </dev/null", 1, "a change keeps turns that are not there");
}

TEST_CASE("branches are chats that begin alike") {
  const auto both = answers({"one", "two"}), other = answers({"one", "three"}),
             long_one = answers({"one", "two", "four"});
  const Result result =
      run("one\n/branch b\nthree\n/branch main\ntwo\n/branch\n/branch b\n/retry\n/branch main\nfour\n");
  CHECK(result.out == both[0] + other[1] + both[1] + other[1] + long_one[2]);
  CHECK(result.err.find("New branch b.\n") != std::string::npos);
  CHECK(result.err.find("* main\n  b\n") != std::string::npos);
}

TEST_CASE("a chat is saved, and goes on in another program on other threads") {
  const TemporaryFile file(".chat");
  const auto all = answers({"one", "two", "three"});
  CHECK(run("one\ntwo\n/branch x\n/save " + file.path() + "\n").status == 0);
  CHECK(run("three\n", "--load " + file.path() + " --threads 3").out == all[2]);
  const Result inspected = program("inspect " + file.path());
  CHECK(inspected.status == 0);
  CHECK(inspected.out.starts_with("session       of an RWKV-7 model\ntokens "));
  CHECK(run("/load " + file.path() + "\n/undo\n/undo\none\n/branch main\nthree\n").out == all[0] + all[2]);
  const Result other = run("/load " + file.path() + "\none\n", "--template text");
  CHECK(other.err.find("is a chat in another template: expected text, found 'world'") != std::string::npos);
  CHECK(other.status == 1);
}

TEST_CASE("chats are saved in short forms") {
  const TemporaryFile exact(".chat"), half(".chat"), short_one(".chat");
  const auto all = answers({"one", "two"});
  CHECK(run("one\n/save " + exact.path() + "\n").status == 0);
  CHECK(run("one\n/save " + half.path() + "\n", "--save-as f16").status == 0);
  CHECK(run("one\n/save " + short_one.path() + "\n", "--save-as q8").status == 0);
  const auto size = [](const TemporaryFile& file) { return static_cast<double>(read_file(file.path()).size()); };
  CHECK(size(half) < 0.6 * size(exact));
  CHECK(size(short_one) < 0.75 * size(half));
  CHECK(run("two\n", "--load " + half.path()).out == all[1]);
  CHECK(run("/retry\n", "--load " + short_one.path()).out == all[0]);
  constexpr int wrong_usage = 2;
  for (const std::string name : {"q4", "1", "F32", "''"}) {
    check_error(chat + "--save-as " + name + " </dev/null", wrong_usage, "--save-as: must be f32, f16 or q8, not '");
  }
}

TEST_CASE("a file that is no chat is not replaced by one") {
  const TemporaryFile notes(".txt"), saved(".chat");
  write_file(notes.path(), "my notes");
  const Result result = run("one\n/save " + notes.path() + "\n");
  CHECK(result.status == 1);
  CHECK(result.err.find("is there, and is no chat") != std::string::npos);
  CHECK(read_file(notes.path()) == "my notes");
  CHECK(run("one\n/save " + saved.path() + "\n/save " + saved.path() + "\n").status == 0);
}

TEST_CASE("looking at the parameters changes nothing, and a chat that is loaded goes on with those that were set") {
  const std::string sampled = "/params temperature=1 top_p=1\n", seed = "--seed 5";
  const Result plain = run(sampled + "one\ntwo\n", seed);
  CHECK(plain.status == 0);
  CHECK(run(sampled + "one\n/params\ntwo\n", seed).out == plain.out);
  const TemporaryFile saved(".chat");
  CHECK(run("one\n/save " + saved.path() + "\n").status == 0);
  const Result loaded = run(sampled + "/load " + saved.path() + "\ntwo\n", seed);
  CHECK(loaded.status == 0);
  CHECK(loaded.out != answers({"one", "two"})[1]);  // of temperature 0
}

TEST_CASE("a mistake in a command is told, the chat goes on, and the exit status tells it, too") {
  const auto one = answers({"one"});
  for (const auto& each : {std::pair{"/fly", "/fly: is no command"},
                           {"/load /nonexistent", "/nonexistent: cannot open"},
                           {"/save /nonexistent/x", "/nonexistent/x: cannot create"},
                           {"/save", "/save FILE: a name is missing"},
                           {"/params temperature=x", "expected name=number"},
                           {"/params speed=1", "there is no 'speed'"},
                           {"/params temperature=-1", "option temperature"},
                           {"/params top_p=2", "option top_p"},
                           {"/undo 3", "/undo: takes no argument"},
                           {"/help me", "/help: takes no argument"},
                           {"/quit now", "/quit: takes no argument"}}) {
    const char *const command = each.first, *const phrase = each.second;
    CAPTURE(command);
    const Result result = run(std::string(command) + "\none\n");
    CHECK(result.err.find(phrase) != std::string::npos);
    CHECK(result.out == one[0]);
    CHECK(result.status == 1);
  }
  CHECK(run("/help\n").err.find("/undo") != std::string::npos);
  CHECK(run("one\n/stats\n").err.find("1 turn,") != std::string::npos);
}

TEST_CASE("mistakes on the command line end the program") {
  const TemporaryFile bad(".json");
  write_file(bad.path(), "{\"usr\": \"{text}\"}");
  constexpr int wrong_usage = 2, error = 1;
  check_error(chat + "--template wold </dev/null", wrong_usage, "expected world, g1, think");
  check_error(chat + "--template " + bad.path() + " </dev/null", error, "key 'usr': is unknown");
  check_error(chat + "--load " + model_path + " </dev/null", error, "is not a session");
  check_error(chat + "--state /nonexistent </dev/null", error, "/nonexistent: cannot open");
  check_error(chat + "--top-p nan </dev/null", wrong_usage, "top_p");
}

TEST_CASE("every answer fits a grammar") {
  const TemporaryFile grammar(".gbnf");
  write_file(grammar.path(), R"(root ::= " yes" | " no")");
  const Result result = run("one\ntwo\n/retry\n", "--grammar " + grammar.path());
  CHECK(result.status == 0);
  std::istringstream lines(result.out);
  int n = 0;
  for (std::string line; std::getline(lines, line); ++n)
    CHECK((line == "yes" || line == "no" || line == " yes" || line == " no"));
  CHECK(n == 3);

  write_file(grammar.path(), R"(root ::= "a"{1000})");  // more than 12 tokens
  const Result cut = run("one\n", "--grammar " + grammar.path());
  CHECK(cut.status == 1);
  CHECK(cut.err.find("is not whole") != std::string::npos);
  constexpr int wrong_usage = 2;
  check_error(chat + "--template think --json </dev/null", wrong_usage, "--template think: a grammar is for answers");
}

TEST_CASE("without a template of its own a model has that of its vocabulary, and an empty answer is told") {
  const auto say = [&](Index n_vocab, const std::string& tokenizer, const std::string& arguments) {
    Config config{Generation::v4, 1, 8, 8, 8, 0, 0, n_vocab};
    const TemporaryFile file(".safetensors");
    write_safetensors(synthetic(config, DType::f32, 1), file.path());
    return shell("echo one | " + std::string(RWKV_PROGRAM) + " chat --temperature 0 -n 8 -m " + file.path() +
                 tokenizer + arguments);
  };
  const std::string start = "echo Once upon a time | " + std::string(RWKV_PROGRAM) + " " + chat;
  const Result tales = shell(start);
  CHECK(tales.status == 0);
  CHECK(tales.out.size() > 10);
  CHECK(tales.err.empty());
  CHECK(tales.out == shell(start + "--template text").out);
  CHECK(tales.out != shell(start + "--template world").out);
  const std::string silent = "echo one | " + std::string(RWKV_PROGRAM) + " chat -n 0";
  CHECK(shell(silent).status == 0);
  CHECK(shell(silent).err == "The answer is empty; another --template may fit the model.\n");
  CHECK(shell(silent + " --quiet").err.empty());
  RWKV_NEEDS_SHARED();
  for (const auto& each : {std::pair{65536, "rwkv_vocab_v20230424.txt"}, std::pair{50304, "20B_tokenizer.json"}}) {
    const std::string tokenizer = " --tokenizer " + shared_file("testdata/tokenizers/" + std::string(each.second));
    const Result known = say(each.first, tokenizer, "");
    CHECK(known.status == 0);
    CHECK(known.out == say(each.first, tokenizer, " --template world").out);
    CHECK(known.out != say(each.first, tokenizer, " --template text").out);
  }
}

TEST_CASE("a template of one's own") {
  const TemporaryFile file(".json");
  write_file(file.path(), R"({"user": "{text}", "name": "mine"})");
  const Result mine = run("Once upon a time\n", "--template " + file.path());
  CHECK(mine.out == run("Once upon a time\n", "--template text").out);
  CHECK(mine.out.size() > 5);
}

TEST_CASE("the template that a GGUF file names is used, and one of other models is told") {
  Config config{Generation::v7, 2, 64, 64, 128, 2, 32, 257};
  config.low_rank = {.decay = 8, .rate = 8, .value = 8, .gate = 16};
  Checkpoint model = synthetic(config, DType::f32, 1);
  model.metadata()[std::string(vocabulary_key)] = rwkv_test::byte_vocabulary();
  const auto say = [&](const std::string& jinja, const std::string& arguments) {
    const TemporaryFile file(".gguf");
    model.metadata()[std::string(chat_template_key)] = jinja;
    write_gguf(model, file.path());
    return shell("echo one | " + std::string(RWKV_PROGRAM) + " chat --temperature 0 -n 8 -m " + file.path() +
                 arguments);
  };
  const std::string thinking = "User: {{ text }} Assistant: <think";
  CHECK(say("rwkv-world", "").out == say("", " --template world").out);
  CHECK(say("rwkv-world", "").err.empty());
  CHECK(say(thinking, " --show-thinking").out == say("", " --template think --show-thinking").out);
  CHECK(say(thinking, " --show-thinking").out != say("rwkv-world", "").out);
  const Result other = say("<|im_start|>", "");
  CHECK(other.err.find("chat template: is none of RWKV") != std::string::npos);
  CHECK(other.err.find("Using text.\n") != std::string::npos);
  CHECK(other.out == say("", " --template text").out);
}

TEST_CASE("a closed pipe ends the chat as it ends other programs") {
  const TemporaryFile status(".status");
  CHECK(
      shell("( yes one | " + std::string(RWKV_PROGRAM) + " " + chat + "; echo $? >" + status.path() + " ) | head -c 1")
          .status == 0);
  CHECK(read_file(status.path()) == "141\n");
}

TEST_CASE("in a pipe an interrupt ends the program with 130: while it waits, and during an answer") {
  const TemporaryFile pipe(".fifo");
  const Result answering = shell("yes one | head -n 3 | timeout --preserve-status --signal=INT -k 5 2 " +
                                 std::string(RWKV_PROGRAM) + " chat -n 100000000 --seed 1 --ban 0");
  CHECK(answering.status == 130);
  CHECK(answering.out.size() > 10);
  CHECK(answering.err.empty());
  const Result result =
      shell("mkfifo " + pipe.path() + "; sleep 20 >" + pipe.path() + " & timeout --preserve-status --signal=INT 5 " +
            std::string(RWKV_PROGRAM) + " " + chat + "<" + pipe.path());
  CHECK(result.status == 130);
  CHECK(result.err.empty());
}

TEST_CASE("in a terminal lines are edited, and the end of the input ends the chat") {
  const auto expected = answers({"one", "two", "wonderful", "several\nlines"});
  Terminal terminal(chat + in_world);
  CHECK(terminal.until_prompt().find("/help lists the commands") != std::string::npos);
  terminal.type("one\r");
  CHECK(terminal.until_prompt().find(on_terminal(expected[0])) != std::string::npos);
  // Backspace takes whole characters, Ctrl-W words.
  terminal.type("t\xc3\xa4" + backspace + "wo words" + control_w + backspace + "\r");
  CHECK(terminal.until_prompt().find(on_terminal(expected[1])) != std::string::npos);
  // From the history, edited in the middle and at the beginning: "one", "ondxful", "onderful", "wonderful".
  terminal.type(up + up + backspace + "dxful" + left + left + left + left + "\033[3~er" + control_a + "w\r");
  CHECK(terminal.until("\r\n").find("wonderful") != std::string::npos);
  CHECK(terminal.until_prompt().find(on_terminal(expected[2])) != std::string::npos);
  terminal.type("\033[200~several\rlines\033[201~");  // pasted
  terminal.until("several\xe2\x86\xb5lines");
  terminal.type("\r");
  CHECK(terminal.until_prompt().find(on_terminal(expected[3])) != std::string::npos);
  terminal.type("not said" + control_c);
  terminal.until("^C");
  terminal.until_prompt();
  terminal.type(control_d);
  CHECK(terminal.status() == 0);
  CHECK(terminal.is_restored());
}

TEST_CASE("Ctrl-C stops an answer and keeps the chat, and at the prompt ends it with 130") {
  Terminal terminal("chat -m " + model_path + " --threads 1 -n 100000000 --template text --seed 1 --ban 0");
  terminal.until_prompt();
  for (const std::string said : {"Once upon a time\r", "/retry\r"}) {
    terminal.type(said);
    terminal.until("\r\n");
    terminal.until(" ");  // the answer comes
    terminal.type(control_c);
    terminal.until("(stopped)");
    terminal.until_prompt();
  }
  for (const std::string found : {"1 turn,", "0 turns,"}) {  // with the answer before, and without
    terminal.type("/undo\r");
    CHECK(terminal.until_prompt().find("Taken back.") != std::string::npos);
    terminal.type("/stats\r");
    CHECK(terminal.until_prompt().find(found) != std::string::npos);
  }
  terminal.type(control_c);
  CHECK(terminal.status() == 130);
  CHECK(terminal.is_restored());
}

TEST_CASE("a signal that ends the program leaves the terminal as it was") {
  Terminal terminal(chat + in_world);
  terminal.until_prompt();
  terminal.signal(SIGTERM);
  CHECK(terminal.status() == 128 + SIGTERM);
  CHECK(terminal.is_restored());
}

TEST_SUITE_END();
