// SPDX-License-Identifier: MIT
// The program and the examples as a user runs them.
#include <nlohmann/json.hpp>

#include "examples/program.hpp"
#include "io/torch_list.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/io/gguf_write.hpp"
#include "rwkv/io/vocabulary.hpp"
#include "rwkv/rwkv.hpp"
#include "support/golden.hpp"
#include "support/support.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using rwkv_test::byte_vocabulary;
using rwkv_test::check_error;
using rwkv_test::fixture;
using rwkv_test::Golden;
using rwkv_test::max_abs_difference;
using rwkv_test::program;
using rwkv_test::read_file;
using rwkv_test::Result;
using rwkv_test::shared_file;
using rwkv_test::shell;
using rwkv_test::TemporaryFile;
using rwkv_test::TemporaryFolder;

namespace {

/// A small model over bytes in a file.
class ModelFile {
public:
  ModelFile() {
    write_safetensors(synthetic({Generation::v4, 2, 32, 32, 64, 0, 0, 256}, DType::bf16, 5), file_.path());
  }
  [[nodiscard]] const std::string& path() const { return file_.path(); }

private:
  TemporaryFile file_{".safetensors"};
};

std::string list(const std::vector<Token>& tokens) {
  std::string text;
  for (const Token token : tokens) text += (text.empty() ? "" : ",") + std::to_string(token);
  return text;
}

}  // namespace

TEST_SUITE_BEGIN("examples");

TEST_CASE("generate: the same seed gives the same text for any number of threads") {
  const ModelFile model;
  const std::string arguments = "generate -m " + model.path() + " -p Once -n 30 --seed 3";
  const Result one = program(arguments + " --threads 1");
  CHECK(one.status == 0);
  CHECK(one.err.empty());
  CHECK(one.out.starts_with("Once"));
  CHECK(one.out.size() > 20);
  CHECK(is_utf8(one.out));
  CHECK(program(arguments + " --threads 3").out == one.out);
  const Result quiet = program(arguments + " --threads 1 --no-echo");
  CHECK("Once" + quiet.out == one.out);
  CHECK(program("generate -m " + model.path() + " -n 0").out == "\n");
}

TEST_CASE("generate: the prompt may come from standard input, and may be empty") {
  const ModelFile model;
  const Result piped = shell("printf Once | " + std::string(RWKV_PROGRAM) + " generate -m " + model.path() +
                             " --prompt-file - -n 5 --seed 1");
  CHECK(piped.out == program("generate -m " + model.path() + " -p Once -n 5 --seed 1").out);
  CHECK(program("generate -m " + model.path() + " -n 5").status == 0);
}

TEST_CASE("generate: what comes after a gap is part of the prompt") {
  const std::string flags = "generate --temperature 0 -n 20 --no-echo ";
  const Result filled = program(flags + "-p 'There was a ' --suffix ' who had a daughter.'");
  CHECK(filled.status == 0);
  CHECK(filled.out == program(flags + "-p '✿prefix✿✿suffix✿ who had a daughter.✿middle✿There was a '").out);
  CHECK(filled.out != program(flags + "-p 'There was a '").out);
}

TEST_CASE("generate: a closed pipe and a full disk are no crash, and the state is saved") {
  const ModelFile model;
  const TemporaryFile status(".status"), state(".safetensors");
  const std::string run =
      std::string(RWKV_PROGRAM) + " generate -m " + model.path() + " -p Once -n 100000 --state-out " + state.path();
  const auto check_saved = [&] {
    CHECK(program("generate -m " + model.path() + " -p x -n 1 --state-in " + state.path()).status == 0);
    std::filesystem::remove(state.path());
  };
  for (const std::string first : {"", "sleep 1; "}) {  // during the text, and before it
    CAPTURE(first);
    const std::string reader = first.empty() ? "head -c 10" : "true";
    const Result piped = shell("( " + first + run + "; echo $? >" + status.path() + " ) | " + reader);
    CHECK(piped.err == "");
    CHECK(read_file(status.path()) == "141\n");  // ended by SIGPIPE, as programs in a pipe are
    check_saved();
  }
  if (std::filesystem::exists("/dev/full")) {
    const Result full = shell("( " + run + " ) 3>&1 >/dev/full");
    CHECK(full.status == 1);
    CHECK(full.err == "rwkv: standard output: cannot write\n");
    check_saved();
  }
}

TEST_CASE("generate: Ctrl-C ends the text and the exit status is 130") {
  const ModelFile model;
  const Result result = shell("timeout --preserve-status --signal=INT 1 " + std::string(RWKV_PROGRAM) +
                              " generate -m " + model.path() + " -p Once -n 100000000");
  CHECK(result.status == 130);
  CHECK(result.out.starts_with("Once"));
}

TEST_CASE("mistakes give one line and the exit status of the kind of mistake") {
  const ModelFile model;
  const TemporaryFile text(".pth");
  rwkv_test::write_file(text.path(), "<!DOCTYPE html><html>not found</html>");
  const TemporaryFile unwritten(".safetensors");
  const std::string out = "--out " + unwritten.path();
  constexpr int wrong_usage = 2, error = 1;
  check_error("", wrong_usage, "a command is missing");
  for (const std::string rest : {"", " -p x", " --help"}) {
    check_error("generat" + rest, wrong_usage, "command 'generat': is unknown: expected one of generate, logits, ");
  }
  check_error("help generat", wrong_usage, "command 'generat': is unknown");
  check_error("eval perplexit text.txt", wrong_usage, "'perplexit': is unknown: expected one of perplexity, lambada, ");
  check_error("generate --bogus", wrong_usage, "--bogus");
  check_error("generate -m " + model.path() + " -n -5", wrong_usage,
              "--n-tokens: must be a number from 0 to 999999999, not '-5'");
  check_error("generate -m " + model.path() + " --threads 0", wrong_usage, "--threads");
  check_error("generate -m " + model.path() + " --top-p nan", wrong_usage, "top_p");
  check_error("generate -m " + model.path() + " --isa sse9", wrong_usage, "sse9");
  check_error("generate -m /nonexistent.pth", error, "/nonexistent.pth: cannot open");
  check_error("generate -m /tmp", error, "a directory");
  check_error("generate -m " + text.path(), error, "HTML");
  check_error("generate -m " + model.path() + " --tokenizer /nonexistent.txt", error, "/nonexistent.txt");
  check_error("generate -m " + model.path() + " -p x --ban 999", wrong_usage, "999");
  check_error("logits -m " + model.path() + " --tokens 256 " + out, wrong_usage, "expected 0 to 255");
  check_error("logits -m " + model.path() + " --tokens 1,x " + out, wrong_usage, "'x'");
  check_error("logits -m " + model.path() + " --tokens 1 --mode chunk:0 " + out, wrong_usage, "chunk:N");
  check_error("logits -m " + model.path() + " --tokens 1 --out /nonexistent/x", error, "/nonexistent");
  check_error("logits -m " + model.path() + " --tokens 1 --scalar double --isa avx2 " + out, wrong_usage, "--isa");
  check_error("bench -m " + model.path() + " --dtype f16", wrong_usage, "--synthetic");
  check_error("bench --synthetic v4-169M --gen 4294967296", wrong_usage, "--gen");
  check_error("inspect ''", wrong_usage, "must not be empty");
  check_error("generate -m ''", wrong_usage, "must not be empty");
  for (const std::string option :
       {"generate --state-in", "generate --state-out", "generate --prompt-file", "generate --tokenizer",
        "logits --tokens 1 --out", "logits --tokens 1 --out x --state-in", "logits --tokens 1 --out x --state-out",
        "inspect --html x --prompt-file", "inspect --html x --tokenizer", "tokenize --tokenizer", "embed --tokenizer",
        "chat --tokenizer", "eval perplexity x --tokenizer"}) {
    check_error(option + " ''", wrong_usage, "must not be empty");
  }
  for (const std::string option : {"--tokenizer x", "--isa scalar", "--exact", "--sparse", "--threads 2"}) {
    check_error("inspect " + option, wrong_usage, "requires --html");
  }
  const std::string in_environment = "RWKV_ISA=scalar RWKV_TOKENIZER=/no/file " RWKV_PROGRAM " inspect ";
  CHECK(shell(in_environment + model.path()).status == 0);
  CHECK(shell(in_environment + " -p x --html " + unwritten.path()).err.find("/no/file: cannot open") !=
        std::string::npos);
  check_error("generate -m /no/model --grammar-close", wrong_usage, "--grammar-close: needs --grammar, --json-schema");
  check_error("chat -m /no/model --grammar-close", wrong_usage, "--grammar-close: needs --grammar, --json-schema");
  check_error("logits -m " + model.path() + " --tokens 1 " + out + " --state-in " + text.path(), error, "HTML");
  check_error("inspect \"$(printf 'a\\nb')\"", error, "a\\x0ab: cannot open");
  check_error("inspect /nonexistent", error, "/nonexistent");
  check_error("bench --synthetic v9", wrong_usage, "v4-169M");
}

TEST_CASE("help and version are no mistakes") {
  const Result all = program("--help");
  CHECK(all.status == 0);
  CHECK(all.out.find("generate") != std::string::npos);
  CHECK(program("help").out == all.out);
  CHECK(program("help").status == 0);
  CHECK(program("help eval merge").out == program("eval merge --help").out);
  const std::string help = program("generate --help").out;
  CHECK(help.find("--temperature") != std::string::npos);
  CHECK(help.find("{false}") == std::string::npos);
  CHECK(help.find("Python package rwkv") != std::string::npos);
  CHECK(program("--version").out == "0.1.0\n");
}

TEST_CASE("tokenize: to ids and back, every byte") {
  const TemporaryFile input(".txt");
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  rwkv_test::write_file(input.path(), bytes);
  const std::string command = std::string(RWKV_PROGRAM) + " tokenize";
  CHECK(shell(command + " <" + input.path() + " | " + command + " --decode").out == bytes);
  CHECK(shell("printf hi | " + command).out == "104 105\n");
  CHECK(shell("printf '104, 105' | " + command + " --decode").out == "hi");
  CHECK(shell("printf 1x | " + command + " --decode").status == 2);
  CHECK(shell("printf 256 | " + command + " --decode").err ==
        "rwkv: token: expected 0 to 255, the vocabulary, found 256\n");
}

TEST_CASE("tokenize: the World vocabulary") {
  RWKV_NEEDS_SHARED();
  const std::string command = std::string(RWKV_PROGRAM) + " tokenize --tokenizer " +
                              shared_file("testdata/tokenizers/rwkv_vocab_v20230424.txt");
  CHECK(shell("printf 'The Eiffel tower is in the city of' | " + command).out ==
        "6699 304 25740 109 39990 4600 4596 22590 30449 4706\n");
}

TEST_CASE("tokenize: byte pair encoding, to ids and back") {
  RWKV_NEEDS_SHARED();
  const std::string command =
      std::string(RWKV_PROGRAM) + " tokenize --tokenizer " + shared_file("testdata/tokenizers/20B_tokenizer.json");
  const std::string ids = "510 444 1648 293 15469 310 275 253 2846 273\n";
  CHECK(shell("printf 'The Eiffel tower is in the city of' | " + command).out == ids);
  CHECK(shell("echo " + ids.substr(0, ids.size() - 1) + " | " + command + " --decode").out ==
        "The Eiffel tower is in the city of");
  CHECK(shell("echo 50277 | " + command + " --decode").err.find("expected 0 to 50276") != std::string::npos);
}

TEST_CASE("logits: every mode and precision, and a state that is handed on") {
  RWKV_NEEDS_SHARED();
  const Golden golden("testdata/models/v4/v4-fp32.golden.safetensors");
  const std::string model = " -m " + shared_file("testdata/models/v4/v4-fp32.pth");
  const auto tokens = golden.tokens();
  const TemporaryFile out(".safetensors"), state(".safetensors");
  const auto logits = [&] {
    const Checkpoint file = read_safetensors(std::make_shared<const MappedFile>(out.path()));
    const auto values = read_all<double>(file.at("logits"));
    return std::vector<double>(values.begin(), values.end());
  };
  for (const std::string mode : {"step", "sequence", "chunk:7"}) {
    CAPTURE(mode);
    const std::string rest = model + " --tokens " + list(tokens) + " --mode " + mode + " --out " + out.path();
    REQUIRE(program("logits" + rest).status == 0);
    CHECK(max_abs_difference(logits(), golden.values("logits_f64")) < 1e-4);
    REQUIRE(program("logits --scalar double" + rest).status == 0);
    CHECK(max_abs_difference(logits(), golden.values("logits_f64")) < 1e-9);
  }
  const std::vector<Token> first(tokens.begin(), tokens.begin() + 25), second(tokens.begin() + 25, tokens.end());
  REQUIRE(
      program("logits" + model + " --tokens " + list(first) + " --state-out " + state.path() + " --out " + out.path())
          .status == 0);
  REQUIRE(
      program("logits" + model + " --tokens " + list(second) + " --state-in " + state.path() + " --out " + out.path())
          .status == 0);
  const auto expected = golden.values("logits_f64");
  const std::vector<double> tail(expected.begin() + 25 * 256, expected.end());
  CHECK(max_abs_difference(logits(), tail) < 1e-4);
}

TEST_CASE("generate: a text goes on from a state") {
  const ModelFile model;
  const TemporaryFile state(".safetensors"), other(".safetensors");
  const std::string command = "generate --temperature 0 -m " + model.path();
  const Result whole = program(command + " -p 'Once upon' -n 30 --state-out " + other.path());
  REQUIRE(whole.status == 0);
  REQUIRE(program(command + " -p Once -n 0 --state-out " + state.path()).status == 0);
  const Result second =
      program(command + " -p ' upon' -n 30 --state-in " + state.path() + " --state-out " + state.path());
  CHECK("Once" + second.out == whole.out);
  const auto states_of = [](const std::string& path) {
    return Golden(read_safetensors(std::make_shared<const MappedFile>(path))).values("blocks.1.att.aa");
  };
  CHECK(max_abs_difference(states_of(state.path()), states_of(other.path())) < 1e-4);
}

TEST_CASE("generate: states that do not fit, and a prompt that is missing") {
  const ModelFile model;
  const TemporaryFile state(".safetensors"), other(".safetensors");
  constexpr int wrong_usage = 2, error = 1;
  const std::string from = "generate -m " + model.path() + " --state-in " + state.path();
  write_safetensors(synthetic({Generation::v4, 2, 32, 32, 64, 0, 0, 256}, DType::bf16, 6), other.path());
  REQUIRE(program("generate -p x -n 1 -m " + other.path() + " --state-out " + state.path()).status == 0);
  check_error(from + " -p x", error, "is a State of another model: expected fingerprint");
  check_error(from, wrong_usage, "--state-in: the prompt is empty");
  check_error("generate -p x -m " + model.path() + " --state-in /nonexistent", error, "/nonexistent: cannot open");
  check_error("generate -p x -m " + model.path() + " --state-in " + model.path(), error, "is not a State");
}

TEST_CASE("outputs that would destroy an input or one another are refused") {
  const ModelFile model;
  const TemporaryFile state(".safetensors"), linked(".safetensors"), other(".safetensors");
  const std::string before = read_file(model.path());
  const std::string logits = "logits --tokens 1 -m " + model.path();
  REQUIRE(program(logits + " --out " + other.path() + " --state-out " + state.path()).status == 0);
  const std::string state_before = read_file(state.path());
  std::filesystem::create_hard_link(model.path(), linked.path());
  const auto by_another_name = [](const std::string& path) {
    const std::filesystem::path name(path);
    return (name.parent_path() / "." / name.filename()).string();
  };
  constexpr int wrong_usage = 2;
  for (const std::string& path : {model.path(), linked.path(), by_another_name(model.path())}) {
    check_error(logits + " --out " + path, wrong_usage, "--out and --model are the same file");
    check_error(logits + " --out " + other.path() + " --state-out " + path, wrong_usage,
                "--state-out and --model are the same file");
    check_error("generate -p x -n 1 -m " + model.path() + " --state-out " + path, wrong_usage,
                "--state-out and --model are the same file");
  }
  check_error(logits + " --out /tmp/rwkv-new --state-out /tmp/./rwkv-new", wrong_usage,
              "--out and --state-out are the same file");
  check_error(logits + " --out " + state.path() + " --state-in " + state.path(), wrong_usage,
              "--out and --state-in are the same file");
  check_error("generate --prompt-file " + other.path() + " -m " + model.path() + " --state-out " + other.path(),
              wrong_usage, "--state-out and --prompt-file are the same file");
  CHECK(read_file(model.path()) == before);
  CHECK(read_file(state.path()) == state_before);
  const std::string same = " --state-in " + state.path() + " --state-out " + state.path();
  CHECK(program(logits + " --out " + other.path() + same).status == 0);
  CHECK(read_file(state.path()) != state_before);
}

TEST_CASE("whether outputs can be written is known before the model is loaded, and leaves nothing behind") {
  const TemporaryFolder folder;
  const std::string out = " --out " + folder / "out", nowhere = "/nonexistent/state";
  check_error("logits --tokens 1 -m /missing.pth --out " + nowhere, 1, "/nonexistent/state: cannot create");
  check_error("logits --tokens 1 -m /missing.pth --state-out " + nowhere + out, 1, "/nonexistent/state: cannot create");
  check_error("generate -p x -m /missing.pth --state-out " + nowhere, 1, "/nonexistent/state: cannot create");
  check_error("logits --tokens 1 -m /missing.pth" + out, 1, "/missing.pth: cannot open");
  CHECK(folder.n_files() == 0);
}

TEST_CASE("--no-verify is for states, too") {
  const ModelFile model;
  const TemporaryFile state(".pth"), out(".safetensors");
  std::string bytes = rwkv_test::torch_list(to_pip_state(load_model(model.path()).new_state()));
  bytes[bytes.find("PK\x01\x02") + 16] ^= 1;  // in the checksum of the first record
  rwkv_test::write_file(state.path(), bytes);
  const std::string from = " -m " + model.path() + " --state-in " + state.path();
  check_error("logits --tokens 1" + from + " --out " + out.path(), 1, "CRC-32");
  check_error("generate -p x -n 1" + from, 1, "CRC-32");
  CHECK(program("logits --no-verify --tokens 1" + from + " --out " + out.path()).status == 0);
  CHECK(program("generate --no-verify -p x -n 1" + from).status == 0);
}

TEST_CASE("generate: the trained RWKV-4 of rwkv.cpp continues greedily as its manifest says") {
  RWKV_NEEDS_SHARED();
  const Result result =
      program("generate -m " + shared_file("testdata/rwkv.cpp-tiny/tiny-rwkv-4v0-660K-FP32.bin") +
              " -p 'In a small town by t' -n 40 --temperature 0 --presence-penalty 0 --frequency-penalty 0");
  CHECK(result.out == "In a small town by the the the the the the the the the the t\n");
}

TEST_CASE("a folder or an index is a model like a file") {
  const std::string folder = fixture("hugging-face/rwkv4");
  const TemporaryFile whole(".safetensors"), sharded(".safetensors");
  CHECK(program("logits -m " + folder + " --tokens 3,0,16 --mode step --out " + whole.path()).status == 0);
  CHECK(program("logits -m " + folder + "/model.safetensors.index.json --tokens 3,0,16 --mode sequence --out " +
                sharded.path())
            .status == 0);
  CHECK(nlohmann::json::parse(program("inspect --json " + folder).out).at("generation") == "4");
  const Golden golden(open_checkpoint(fixture("hugging-face/rwkv4.expected.safetensors")));
  auto expected = golden.values("logits");
  expected.resize(3 * 17);
  for (const TemporaryFile* file : {&whole, &sharded}) {
    // float, logits up to 12
    CHECK(max_abs_difference(Golden(open_checkpoint(file->path())).values("logits"), expected) < 2e-5);
  }
  check_error("inspect " + fixture(""), 1, "found a directory with 2 of them: 'v4.expected.safetensors'");
}

TEST_CASE("generate: a GGUF file brings its vocabulary") {
  Checkpoint model = synthetic({Generation::v7, 2, 16, 16, 32, 2, 8, 258, {0, 3, 5, 7, 9}}, DType::f32, 1);
  model.metadata()[std::string(vocabulary_key)] = byte_vocabulary();
  const TemporaryFile file(".gguf");
  write_gguf(model, file.path());
  const Result result = program("generate -m " + file.path() + " -p words -n 3 --temperature 0");
  CAPTURE(result.err);
  CHECK(result.status == 0);
  CHECK(result.out.starts_with("words"));
}

TEST_CASE("inspect: sizes and tensors, for people and as JSON") {
  const ModelFile model;
  const auto json = nlohmann::json::parse(program("inspect --json " + model.path()).out);
  CHECK(json["generation"] == "4");
  CHECK(json["n_layer"] == 2);
  CHECK(json["n_embd"] == 32);
  CHECK(json["n_ffn"] == 64);
  CHECK(json["n_vocab"] == 256);
  CHECK(json["tensors"].size() == 2 * 18 + 6);
  CHECK(json["n_parameters"] ==
        2 * 256 * 32 + 4 * 32 + 2 * (4 * 32 + 5 * 32 + 4 * 32 * 32 + 2 * 32 + 32 * 32 + 2 * 64 * 32));
  const Result text = program("inspect " + model.path());
  CHECK(text.out.find("RWKV-4") != std::string::npos);
  CHECK(text.out.find("blocks.1.ffn.value.weight  bf16 [32, 64]") != std::string::npos);
}

TEST_CASE("inspect: states, of which model they are, and their tensors") {
  const ModelFile model;
  const TemporaryFile state(".safetensors"), tuned(".safetensors");
  REQUIRE(program("generate -p x -n 1 -m " + model.path() + " --state-out " + state.path()).status == 0);
  const Result text = program("inspect " + state.path());
  CHECK(text.out.starts_with("state         of an RWKV-4 model\nfingerprint   "));
  CHECK(text.out.find("blocks.1.att.pp  f32 [32]") != std::string::npos);
  const auto json = nlohmann::json::parse(program("inspect --json " + state.path()).out);
  CHECK(json["state"] == "own");
  CHECK(json["generation"] == "4");
  CHECK(json["fingerprint"] == nlohmann::json::parse(program("inspect --json " + model.path()).out)["fingerprint"]);
  CHECK(json["tensors"].size() == 10);
  CHECK(!json.contains("problem"));
  Checkpoint trained("trained");
  trained.add("blocks.0.att.time_state", make_tensor({1, 2, 2}, std::vector<float>(4)));
  write_safetensors(trained, tuned.path());
  CHECK(program("inspect " + tuned.path()).out.starts_with("state         a trained one, to begin with\n"));
  CHECK(nlohmann::json::parse(program("inspect --json " + tuned.path()).out)["state"] == "tuned");
}

TEST_CASE("inspect: what cannot run is listed all the same, with the reason") {
  Checkpoint variant = synthetic({Generation::v4, 2, 32, 32, 64, 0, 0, 256}, DType::bf16, 5);
  variant.add("blocks.1.att.memory.weight", make_tensor({1}, std::vector<float>(1)));
  const TemporaryFile file(".safetensors");
  write_safetensors(variant, file.path());
  const Result text = program("inspect " + file.path());
  CHECK(
      text.out.starts_with("problem       " + file.path() + ": the model has tensors that this version does not know"));
  CHECK(text.out.find("blocks.1.att.memory.weight  f32 [1]") != std::string::npos);
  const auto json = nlohmann::json::parse(program("inspect --json " + file.path()).out);
  CHECK(json.contains("problem"));
  CHECK(json["tensors"].size() == 2 * 18 + 7);
}

TEST_CASE("inspect: what is wrong with a state") {
  const ModelFile model;
  const TemporaryFile file(".safetensors");
  save_state(load_model(model.path()).new_state(), file.path());
  const auto change = [&](const auto& what) {
    Checkpoint state = read_safetensors(std::make_shared<const MappedFile>(file.path()));
    what(state);
    write_safetensors(state, file.path());
  };
  const auto check_problem = [&](const std::string& phrase) {
    const Result text = program("inspect " + file.path()), json = program("inspect --json " + file.path());
    CHECK(text.status == 0);
    CHECK(text.out.find("\nproblem       " + file.path() + ": " + phrase) != std::string::npos);
    CHECK(json.status == 0);
    const auto object = nlohmann::json::parse(json.out);
    CHECK(object.value("problem", "").find(phrase) != std::string::npos);
    CHECK(object["tensors"].size() == 10);
  };
  change([](Checkpoint& state) { state.metadata().erase("fingerprint"); });
  check_problem("metadata 'fingerprint': is missing");
  change([](Checkpoint& state) { state.metadata()["version"] = "2"; });
  check_problem("the State is in a newer version of the format");
  write_safetensors(Checkpoint("none"), file.path());
  CHECK(nlohmann::json::parse(program("inspect --json " + file.path()).out)["tensors"] == nlohmann::json::array());
}

TEST_CASE("bench: contexts of fixed length begin again") {
  RWKV_NEEDS_SHARED();
  const std::string path = shared_file("spec/golden/models/v1_late.safetensors");
  const auto n_ctx = load_model(path).config().n_ctx;
  REQUIRE(n_ctx > 0);
  const Result result = program("bench --json --threads 1 -m " + path + " --prompt " + std::to_string(n_ctx) +
                                " --gen " + std::to_string(2 * n_ctx + 1));
  CHECK(result.err == "");
  CHECK(result.status == 0);
}

TEST_CASE("bench: memory that grows with the context is no scratch of a pass") {
  const TemporaryFile file(".safetensors");
  write_safetensors(synthetic({Generation::v4, 1, 64, 64, 16384, 0, 0, 256}, DType::bf16, 5), file.path());
  const auto json =
      nlohmann::json::parse(program("bench --json --threads 1 --prompt 0 --gen 1 --context 300 -m " + file.path()).out);
  CHECK(json["context"] == 300);
  CHECK(json["context_decode_tokens_per_second"] > 0);
  CHECK(json["context_extra_mb"] < 1);  // 256 rows of F are 16 MiB, 100 rows 6 MiB
}

TEST_CASE("bench: --synthetic contradicts a model of the command line, not one of the environment") {
  const ModelFile model;
  constexpr int wrong_usage = 2;
  check_error("bench --synthetic v9 -m " + model.path(), wrong_usage, "--model excludes --synthetic");
  const std::string with_model = "RWKV_MODEL=" + model.path() + " " + RWKV_PROGRAM + " bench ";
  CHECK(shell(with_model + "--synthetic v9").err.find("expected one of v4-nano, v4-169M") != std::string::npos);
  CHECK(shell(with_model + "--json --prompt 1 --gen 1 --threads 1").out.find(model.path()) != std::string::npos);
}

TEST_CASE("bench: one JSON object with the fields of the interface") {
  const ModelFile model;
  const auto json =
      nlohmann::json::parse(program("bench --json --prompt 20 --gen 5 --batch 2 --threads 2 -m " + model.path()).out);
  for (const char* field :
       {"model", "dtype", "isa", "threads", "batch", "load_seconds", "peak_extra_mb", "decode_tokens_per_second",
        "decode_gb_per_second", "bandwidth_1_stream_gb_per_second", "bandwidth_4_streams_gb_per_second",
        "decode_bandwidth_share", "decode_bandwidth_share_1_stream", "prompt_tokens", "prompt_tokens_per_second",
        "prompt_gflops", "gemm_peak_gflops", "prompt_gemm_share", "zero_activation_share"}) {
    CAPTURE(field);
    CHECK(json.contains(field));
  }
  CHECK(json["threads"] == 2);
  CHECK(json["decode_tokens_per_second"] > 0);
  CHECK(json["zero_activation_share"] > 0.2);  // random weights: half of them
  CHECK(json["zero_activation_share"] < 0.8);
  const auto sparse = nlohmann::json::parse(program("bench --json --sparse --gen 2 -m " + model.path()).out);
  CHECK(sparse["zero_activation_share"] > 0.2);
  const auto number = [&](const char* field) { return json[field].get<double>(); };
  const auto check_share = [&](const char* share, const char* part, const char* whole) {
    CAPTURE(share);
    CHECK(number(share) * number(whole) == doctest::Approx(number(part)));
  };
  check_share("decode_bandwidth_share", "decode_gb_per_second", "bandwidth_4_streams_gb_per_second");
  check_share("decode_bandwidth_share_1_stream", "decode_gb_per_second", "bandwidth_1_stream_gb_per_second");
  check_share("prompt_gemm_share", "prompt_gflops", "gemm_peak_gflops");
}

TEST_CASE("bench: the type is that of most weights, whatever the head is stored in") {
  const Config config{Generation::v4, 2, 32, 32, 64, 0, 0, 256};
  const Checkpoint other = synthetic(config, DType::f32, 5);
  const TemporaryFile file(".safetensors");
  write_safetensors(synthetic(config, DType::bf16, 5).transformed([&](Checkpoint::Entry entry) {
    return entry.name == "head.weight" ? Checkpoint::Entry{entry.name, other.at(entry.name)} : entry;
  }),
                    file.path());
  const auto json = nlohmann::json::parse(program("bench --json --threads 1 --prompt 1 --gen 1 -m " + file.path()).out);
  CHECK(json["dtype"] == "bf16");
}

TEST_CASE("without arguments the program tells a story, wherever it is run") {
  const auto from_root = [](const std::string& arguments) {
    return shell("cd / && env -u RWKV_MODEL -u RWKV_TOKENIZER " RWKV_PROGRAM " " + arguments);
  };
  const Result story = from_root("generate");
  CHECK(story.status == 0);
  CHECK(story.out.starts_with("Once upon a time"));
  int n_the = 0;  // the commonest word of English
  for (auto at = story.out.find(" the "); at != std::string::npos; at = story.out.find(" the ", at + 1)) ++n_the;
  CHECK(n_the >= 3);
  CHECK(from_root("generate --temperature 0 -n 20 -p 'The king'").out.starts_with("The king"));
  CHECK(from_root("generate --tokenizer " + fixture("../../examples/models/fairy-tales.vocab") + " -n 5").status == 0);
  CHECK(from_root("inspect").out.find("RWKV-7") != std::string::npos);
  const TemporaryFile logits(".safetensors");
  CHECK(from_root("bench --prompt 8 --gen 2").out.find("demo model") != std::string::npos);
  CHECK(from_root("logits --tokens 1,2,3 --out " + logits.path()).status == 0);
}

TEST_CASE("logits of the trained RWKV-5.2 and 7 of rwkv.cpp through the program") {
  RWKV_NEEDS_SHARED();
  const std::string folder = "testdata/rwkv.cpp-tiny/";
  // rwkv.cpp normalises the heads of RWKV-5 with another eps than the programs that train them.
  for (const std::string model : {"5v2-730K", "7v0-834K"}) {
    const TemporaryFile out(".safetensors");
    const std::string options = model.starts_with("5") ? " --group-norm-eps 1e-5" : "";
    CHECK(program("logits -m " + shared_file(folder + "tiny-rwkv-" + model + "-FP32.bin") +
                  " --tokens 34,105,110 --out " + out.path() + options)
              .status == 0);
    const Golden logits(read_safetensors(std::make_shared<const MappedFile>(out.path())));
    const Golden expected(folder + "tiny-rwkv-" + model + "-FP32.golden.safetensors");
    CHECK(max_abs_difference(logits.values("logits"), expected.values("logits_rwkvcpp_p3")) < 1e-4);
  }
  CHECK(program("logits -m x --tokens 1 --out y --group-norm-eps -1").status == 2);
}

TEST_CASE("the examples run") {
  const ModelFile model;
  CHECK(shell(std::string(RWKV_EXAMPLES) + "/custom_network").status == 0);
  const Result hello = shell(std::string(RWKV_EXAMPLES) + "/hello " + model.path());
  CHECK(hello.status == 0);
  CHECK(hello.out.size() > 10);
  CHECK(shell(std::string(RWKV_EXAMPLES) + "/hello /nonexistent").status == 1);
}

TEST_CASE("reverse_digits is right on all examples that its author's program solves") {
  RWKV_NEEDS_SHARED();
  std::ifstream file(rwkv_test::shared_file("testdata/reverse/manifest.json"));
  std::string command = std::string(RWKV_EXAMPLES) + "/reverse_digits " +
                        rwkv_test::shared_file("testdata/reverse/260123_reverse_L2_only_rwkv7.pth");
  const auto examples = nlohmann::json::parse(file).at("examples");
  for (const auto& example : examples) {
    const auto input = example.at("input").get<std::string>();
    command += " " + input.substr(0, input.find(','));
  }
  CHECK(examples.size() == 200);
  const Result result = shell(command);
  CHECK(result.status == 0);
  CHECK(result.out.find("200 of 200 numbers reversed: 100.0 %") != std::string::npos);
  const Result wrong = shell(std::string(RWKV_EXAMPLES) + "/reverse_digits /nonexistent");
  CHECK(wrong.status == 1);
}

TEST_SUITE_END();
