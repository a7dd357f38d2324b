// SPDX-License-Identifier: MIT
// rwkv eval, as a user runs it.
#include <nlohmann/json.hpp>

#include "examples/program.hpp"

using namespace rwkv_test;
using Json = nlohmann::json;

namespace {

constexpr int error = 1, wrong_usage = 2;

const std::string text = fixture("fairy-tales.txt");
const std::string v4 = fixture("../../examples/models/fairy-tales-v4.safetensors");

Json figures(const std::string& arguments) {
  const Result result = program("eval " + arguments + " --json");
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
  CHECK(result.err.empty());  // no progress in a pipe
  return Json::parse(result.out);
}

/// Some paragraphs of the fairy tales, a line of JSON each.
std::string paragraphs(int n) {
  std::istringstream lines(read_file(text));
  std::string result;
  for (std::string line; n > 0 && std::getline(lines, line);) {
    if (line.size() < 100) continue;
    result += Json{{"text", line}}.dump() + "\n";
    --n;
  }
  return result;
}

std::ptrdiff_t n_lines(const std::string& path) {
  const std::string all = read_file(path);
  return std::ranges::count(all, '\n');
}

}  // namespace

TEST_SUITE_BEGIN("examples/eval");

TEST_CASE("the bits per byte of the demo models are those of PyTorch") {
  const Json v7 = figures("perplexity " + text);
  CHECK(v7["bits_per_byte"] == doctest::Approx(1.26149).epsilon(0.0001));  // examples/train/export.py
  CHECK(v7["n_documents"] == 1);
  CHECK(v7["zero_activation_share"].get<double>() > 0.85);
  CHECK(v7["zero_activation_share"].get<double>() < 0.95);
  CHECK(v7["perplexity"].get<double>() ==
        doctest::Approx(
            std::exp2(v7["bits_per_byte"].get<double>() * v7["n_bytes"].get<double>() / v7["n_tokens"].get<double>())));
  CHECK(figures("perplexity -m " + v4 + " " + text)["bits_per_byte"] == doctest::Approx(1.35531).epsilon(0.0001));
  CHECK(program("eval perplexity " + text).out.find("bits_per_byte 1.261") != std::string::npos);
  CHECK(Json::parse(shell("cat " + text + " | " + RWKV_PROGRAM + " eval perplexity - --json").out) == v7);
}

TEST_CASE("what a window forgets costs something, and a start token lets the first be scored") {
  const Json whole = figures("perplexity " + text), started = figures("perplexity --from-start " + text);
  const Json narrow = figures("perplexity --window 64 --stride 32 " + text);
  CHECK(narrow["n_tokens"] == whole["n_tokens"]);
  CHECK(narrow["bits_per_byte"] > whole["bits_per_byte"]);
  CHECK(figures("perplexity --window 64 " + text) == narrow);
  CHECK(started["n_tokens"].get<int>() == whole["n_tokens"].get<int>() + 1);
  CHECK(started["n_bytes"] == std::filesystem::file_size(text));
}

TEST_CASE("against another model: both perplexities, and the distance from the first") {
  const TemporaryFile few(".jsonl");
  write_file(few.path(), paragraphs(6));
  const std::string demo = fixture("../../examples/models/fairy-tales-v7.safetensors");
  const Json a = figures("perplexity " + few.path()), b = figures("perplexity -m " + v4 + " " + few.path());
  const Json both = figures("perplexity " + few.path() + " --against " + v4);
  CHECK(both["perplexity"] == doctest::Approx(a["perplexity"].get<double>()).epsilon(1e-6));
  CHECK(both["perplexity_against"] == doctest::Approx(b["perplexity"].get<double>()).epsilon(1e-6));
  CHECK(both["perplexity_ratio"] ==
        doctest::Approx(b["perplexity"].get<double>() / a["perplexity"].get<double>()).epsilon(1e-6));
  CHECK(both["mean_kl"] > 0.1);
  CHECK(both["mean_kl"] < both["kl_99"]);
  CHECK(both["kl_99"] <= both["max_kl"]);
  CHECK(both["top1_agreement"] > 0.3);
  CHECK(both["top1_agreement"] < 1);
  const Json same = figures("perplexity -m " + demo + " " + few.path() + " --against " + demo);
  CHECK(same["max_kl"] == 0);
  CHECK(same["top1_agreement"] == 1);
}

TEST_CASE("shards, joined, are the whole, and so is what was interrupted") {
  const TemporaryFile few(".jsonl"), one(".jsonl"), two(".jsonl"), three(".jsonl");
  write_file(few.path(), paragraphs(7));
  const std::string run = "perplexity " + few.path() + " --together 1 ";
  const auto stored_figures = [](const std::string& arguments) {  // but not those of this run alone
    Json found = figures(arguments);
    CHECK(found.erase("zero_activation_share") == 1);
    return found;
  };
  Json whole = stored_figures(run + "--out " + one.path());
  CHECK(n_lines(one.path()) == 8);
  CHECK(figures(run + "--shard 1/2 --out " + two.path())["n_documents"] == 4);
  CHECK(figures(run + "--shard 2/2 --out " + three.path())["n_documents"] == 3);
  Json merged = figures("merge " + three.path() + " " + two.path());
  CHECK(merged["n_missing"] == 0);
  whole["n_missing"] = 0;
  CHECK(merged == whole);
  CHECK(figures("merge " + two.path())["n_missing"] == 3);

  // The figures are those of the shard, whatever else the file holds, and that stays.
  const Json second = stored_figures(run + "--shard 2/2");
  CHECK(second["n_documents"] == 3);
  CHECK(stored_figures(run + "--shard 2/2 --out " + two.path()) == second);
  CHECK(n_lines(two.path()) == 8);
  const std::string both = read_file(two.path());
  CHECK(figures(run + "--shard 2/2 --out " + two.path())["n_documents"] == 3);
  CHECK(read_file(two.path()) == both);
  CHECK(figures("merge " + two.path())["n_missing"] == 0);

  // Cut in the middle of a line: the whole ones stay, and are not done again.
  std::string cut = read_file(one.path());
  cut.resize(cut.size() - 90);
  const std::size_t n_kept = cut.rfind('\n') + 1;
  write_file(one.path(), cut);
  whole.erase("n_missing");
  CHECK(stored_figures(run + "--out " + one.path()) == whole);
  CHECK(n_lines(one.path()) == 8);
  CHECK(read_file(one.path()).starts_with(cut.substr(0, n_kept)));

  check_error("eval merge " + two.path() + " " + two.path(), wrong_usage, "is in another of these files, too");
  check_error("eval perplexity " + few.path() + " --window 8 --out " + one.path(), wrong_usage,
              "has results of another evaluation");
  check_error("eval merge " + text, error, "line 1: expected JSON");
  const std::string head = both.substr(0, both.find('\n') + 1), rest = both.substr(head.size());
  for (const std::string number : {"-5", "7", "18446744073709551615"}) {
    write_file(two.path(), head + "{\"document\":" + number + rest.substr(rest.find(',')));
    const std::string told = "line 2: expected a \"document\" from 0 to 6, found " + number;
    check_error("eval " + run + "--out " + two.path(), error, told);
    check_error("eval merge " + two.path(), error, told);
  }
  write_file(two.path(), "{\"eval\":\"perplexity\"}\n" + rest);
  check_error("eval merge " + two.path(), error, "line 1: expected the number of documents");
  write_file(two.path(), head + "{\"log_p\":1}\n");
  check_error("eval merge " + two.path(), error, "line 2: expected a \"document\", by its number");
  write_file(two.path(), both + rest.substr(0, rest.find('\n') + 1));
  check_error("eval merge " + two.path(), error, "is there twice");
  write_file(two.path(), "my notes");
  check_error("eval " + run + "--out " + two.path(), error, "is no file of results");
  CHECK(read_file(two.path()) == "my notes");
}

TEST_CASE("results go on and join only where all is the same that their numbers depend on") {
  const TemporaryFolder folder;
  const std::string few = folder / "few.jsonl", out = folder / "out.jsonl", two = folder / "two.jsonl";
  const std::string model = folder / "model.gguf", words = folder / "other.vocab";
  write_file(few, paragraphs(2));
  const std::string demo = fixture("../../examples/models/fairy-tales-v7.safetensors");
  const std::string vocabulary = read_file(fixture("../../examples/models/fairy-tales.vocab"));
  const auto convert = [&](const std::string& dtype) {
    REQUIRE(program("convert " + demo + " " + model + " --dtype " + dtype).status == 0);
  };
  const std::string run = "eval perplexity " + few + " -m " + model;
  const auto check_refused = [&](const std::string& options, const std::string& difference) {
    check_error(run + options + " --out " + out, wrong_usage, "has results of another evaluation");
    check_error(run + options + " --out " + out, wrong_usage, difference);
  };
  convert("q8_0");
  REQUIRE(program(run + " --out " + out).status == 0);
  check_refused(" --exact", "\"exact\":true");
  check_refused(" --group-norm-eps 1e-5", "\"group_norm_eps\":1e-05");
  std::string changed = vocabulary;  // a token of the same length
  changed.replace(changed.find("' the'"), 6, "' hte'");
  write_file(words, changed);
  check_refused(" --tokenizer " + words, "\"tokenizer\":");
  const std::string renamed = folder / "renamed.gguf";
  std::filesystem::copy_file(model, renamed);
  const std::string both = read_file(out);
  CHECK(program("eval perplexity " + few + " -m " + renamed + " --out " + out).status == 0);
  CHECK(read_file(out) == both);
  convert("q4_0");  // with the same fingerprint
  check_refused("", "\"stored\":");
  REQUIRE(program(run + " --out " + two).status == 0);
  check_error("eval merge " + out + " " + two, wrong_usage, "is of another evaluation than");

  const std::string against = "eval perplexity " + few + " --against " + model + " --out " + (folder / "both.jsonl");
  REQUIRE(program(against).status == 0);
  CHECK(program(against).status == 0);
  std::filesystem::copy_file(model, renamed, std::filesystem::copy_options::overwrite_existing);
  CHECK(program("eval perplexity " + few + " --against " + renamed + " --out " + (folder / "both.jsonl")).status == 0);
  convert("q8_0");
  check_error(against, wrong_usage, "has results of another evaluation");
}

TEST_CASE("LAMBADA by the definition: the last word, all of its tokens the most likely") {
  const TemporaryFile lines(".jsonl"), out(".jsonl");
  write_file(lines.path(), "{\"text\": \"Once upon a time\"}\n\n{\"text\": \"Once upon a xylophone\"}\n");
  const Json found = figures("lambada " + lines.path() + " --out " + out.path());
  CHECK(found["n"] == 2);
  CHECK(found["accuracy"] == 0.5);
  std::istringstream records(read_file(out.path()));
  std::string line;
  std::getline(records, line);
  double log_p = 0;
  while (std::getline(records, line)) {
    const Json record = Json::parse(line);
    CHECK(record["is_correct"] == (record["document"] == 0));
    log_p += record["log_p"].get<double>();
  }
  CHECK(found["perplexity"] == doctest::Approx(std::exp(-log_p / 2)));
}

TEST_CASE("multiple choice by likelihood") {
  const TemporaryFile lines(".jsonl");
  write_file(lines.path(),
             "{\"context\": \"Once upon a\", \"choices\": [\" time\", \" stone\", \" quickly went\"], \"answer\": 0}\n"
             "{\"context\": \"The king and the\", \"choices\": [\" xylophone\", \" queen\"], \"answer\": 1}\n"
             "{\"context\": \"The king and the\", \"choices\": [\" xylophone\", \" queen\"], \"answer\": 0}\n");
  const Json found = figures("choice " + lines.path());
  CHECK(found["n"] == 3);
  CHECK(found["accuracy"] == doctest::Approx(2.0 / 3));
  CHECK(found["accuracy_normalised"] == doctest::Approx(2.0 / 3));
}

TEST_CASE("mistakes are told with the file and the line") {
  const TemporaryFile lines(".jsonl");
  const auto told = [&](const std::string& content, const std::string& task, const std::string& phrase) {
    write_file(lines.path(), content);
    check_error("eval " + task + " " + lines.path(), error, phrase);
  };
  told("{\"text\": \"a b\"}\nnonsense\n", "lambada", "line 2: expected JSON");
  told("{\"text\": \"a b\"}\n{\"text\": 5}\n", "lambada", "line 2: expected an object with a \"text\"");
  told("{\"text\": \"word\"}\n", "lambada", "line 1: LAMBADA: expected a text of two words");
  told("{\"context\": \"a\", \"choices\": [\"b\"], \"answer\": 1}\n", "choice",
       "the number of a choice, from 0, found 1");
  told("{\"context\": \"a\", \"answer\": 1}\n", "choice", "line 1: expected \"context\", \"choices\" and \"answer\"");
  told("[]\n", "perplexity", "line 1: expected an object");
  check_error("eval", wrong_usage, "A subcommand is required");
  check_error("eval perplexity", wrong_usage, "FILE is required");
  check_error("eval perplexity " + text + " --stride 3", wrong_usage, "--stride: needs --window");
  check_error("eval perplexity " + text + " --window 8 --stride 8", wrong_usage, "found stride 8, length 8");
  check_error("eval perplexity " + text + " --shard 3/2", wrong_usage, "--shard: expected I/N");
  check_error("eval perplexity " + text + " --shard 0/2", wrong_usage, "--shard");
  check_error("eval perplexity " + text + " --shard 1", wrong_usage, "--shard");
  check_error("eval perplexity " + text + " --shard ''", wrong_usage, "--shard: expected I/N");
  check_error("eval perplexity " + text + " --out " + text, wrong_usage, "--out and FILE are the same file");
  check_error("eval perplexity /missing.txt", error, "/missing.txt: cannot open");
}

TEST_CASE("where nothing can be scored there are no figures") {
  const TemporaryFile empty(".txt");
  write_file(empty.path(), "");
  const Json none = figures("perplexity " + empty.path());
  CHECK(none["n_tokens"] == 0);
  CHECK(none["perplexity"].is_null());
  CHECK(none["bits_per_byte"].is_null());
}

TEST_CASE("Ctrl-C ends with 130, and the lines that are there stay") {
  const TemporaryFile few(".jsonl"), out(".jsonl");
  write_file(few.path(), paragraphs(20));
  const std::string run =
      std::string(RWKV_PROGRAM) + " eval perplexity --threads 1 --together 1 " + few.path() + " --out " + out.path();
  const Result result = shell(run + " & while [ ! -s " + out.path() + " ]; do :; done; kill -INT $!; wait $!");
  CHECK(result.status == 130);
  CHECK(n_lines(out.path()) >= 1);
  CHECK(n_lines(out.path()) < 21);
  CHECK(shell(run).status == 0);
  CHECK(n_lines(out.path()) == 21);
}

TEST_SUITE_END();
