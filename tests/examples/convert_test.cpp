// SPDX-License-Identifier: MIT
// rwkv convert, as a user runs it.
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "examples/program.hpp"
#include "io/files.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/pth_write.hpp"
#include "rwkv/io/safetensors.hpp"
#include "rwkv/io/vocabulary.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

constexpr int wrong_usage = 2, error = 1;

Config small_v7(Index n_vocab) {
  Config config{Generation::v7, 2, 64, 64, 128, 2, 32, n_vocab};
  config.low_rank = {.decay = 8, .rate = 8, .value = 8, .gate = 16};
  return config;
}

}  // namespace

TEST_SUITE_BEGIN("examples/convert");

TEST_CASE("every format becomes every other, and says nothing in a pipe") {
  const TemporaryFolder folder;
  const std::string model = folder / "a.safetensors";
  write_safetensors(synthetic(small_v7(256), DType::f32, 1), model);
  const Checkpoint original = open_checkpoint(model);
  for (const std::string from : {".pth", ".safetensors", ".gguf", ".bin"}) {
    const std::string first = folder / ("first" + from);
    REQUIRE(program("convert " + model + " " + first).status == 0);
    for (const std::string to : {".pth", ".safetensors", ".gguf", ".bin"}) {
      CAPTURE(from);
      CAPTURE(to);
      const Result result = program("convert " + first + " " + (folder / ("second" + to)));
      CHECK(result.status == 0);
      CHECK(result.out.empty());
      CHECK(result.err.empty());
      const Checkpoint found = open_checkpoint(folder / ("second" + to));
      for (const auto& entry : original.entries()) {
        if (entry.name.starts_with("blocks.0.att.v") && entry.name.size() == 15) continue;  // of no use, see write_gguf
        CAPTURE(entry.name);
        CHECK(max_abs_difference(read_all<float>(found.at(entry.name)), read_all<float>(entry.tensor)) == 0);
      }
    }
  }
}

TEST_CASE("the format of --format, whatever the name ends in, and the type of --dtype, shown by inspect") {
  const TemporaryFolder folder;
  const std::string model = folder / "a.safetensors", out = folder / "model";
  write_safetensors(synthetic(small_v7(256), DType::bf16, 1), model);
  REQUIRE(program("convert " + model + " " + out + " --format gguf --dtype q4_0").status == 0);
  CHECK(read_file(out).starts_with("GGUF"));
  const auto json = nlohmann::json::parse(program("inspect --json " + out).out);
  CHECK(json["bytes_by_type"]["q8_0"] == 2 * 256 * 64 / 32 * 34);                      // emb, head
  CHECK(json["bytes_by_type"]["q4_0"] == 2 * (4 * 64 * 64 + 2 * 64 * 128) / 32 * 18);  // of two layers
  CHECK(program("inspect " + out).out.find("q8_0 34816, q4_0 36864 bytes") != std::string::npos);
  CHECK(program("generate -m " + out + " -p Once -n 5").status == 0);
}

TEST_CASE("the vocabulary beside the model goes into the file") {
  const TemporaryFolder folder;
  const std::string model = folder / "a.safetensors", vocabulary = folder / "a.vocab", out = folder / "b.gguf";
  write_safetensors(synthetic(small_v7(257), DType::f32, 1), model);
  REQUIRE(program("convert " + model + " " + out).status == 0);
  CHECK(!open_checkpoint(out).metadata().contains(std::string(vocabulary_key)));
  write_file(vocabulary, byte_vocabulary());
  REQUIRE(program("convert " + model + " " + out).status == 0);
  CHECK(open_checkpoint(out).metadata().at(std::string(vocabulary_key)).starts_with("1 b'\\x00' 1\n"));
  write_file(vocabulary, byte_vocabulary() + "999 'many' 4\n");  // of another model
  REQUIRE(program("convert " + model + " " + out).status == 0);
  CHECK(!open_checkpoint(out).metadata().contains(std::string(vocabulary_key)));
  check_error("convert " + model + " " + out + " --tokenizer " + vocabulary, wrong_usage,
              "does not belong to the model");
}

TEST_CASE("mistakes are told before anything is written") {
  const TemporaryFolder folder;
  const std::string model = folder / "a.safetensors", out = folder / "b.gguf";
  write_safetensors(synthetic(small_v7(256), DType::bf16, 1), model);
  const std::string before = read_file(model);
  const std::string convert = "convert " + model + " ";
  check_error("convert", wrong_usage, "IN is required");
  check_error(convert, wrong_usage, "OUT is required");
  check_error(convert + (folder / "b.onnx"), wrong_usage, "the name does not tell the format");
  check_error(convert + out + " --format onnx", wrong_usage, "--format");
  check_error(convert + out + " --dtype q3", wrong_usage, "expected f32, f16, bf16");
  check_error(convert + out + " --dtype i8", wrong_usage, "--dtype");
  check_error(convert + model, wrong_usage, "OUT and IN are the same file");
  check_error(convert + (folder / "./a.safetensors"), wrong_usage, "OUT and IN are the same file");
  check_error(convert + out + " --lora " + out, wrong_usage, "OUT and --lora are the same file");
  check_error(convert + out + " --lora " + model, wrong_usage, "--lora-alpha: is missing");
  check_error(convert + (folder / "nowhere/b.gguf"), error, "nowhere/b.gguf: cannot create: No such file or directory");
  check_error(convert + (folder / ""), wrong_usage, "the name does not tell the format");
  check_error(convert + "/dev/full --format gguf", error, "a device of that name");
  check_error(convert + (folder / "b.bin"), error, "rwkv.cpp has no type bf16");
  check_error(convert + (folder / "b.pth") + " --dtype q8_0", error, "the format has no type q8_0");
  check_error("convert /missing.pth " + out, error, "/missing.pth: cannot open");
  check_error(convert + out + " --state " + model, error, "time_state");
  CHECK(read_file(model) == before);
  CHECK(folder.n_files() == 1);
}

TEST_CASE("a disk that is full leaves nothing behind") {
  // A limit on the size of files stands for it: writes beyond it fail, as the signal that would end the program is off.
  const TemporaryFolder folder;
  const std::string model = folder / "a.safetensors";
  write_safetensors(synthetic(small_v7(2560), DType::f32, 1), model);
  for (const std::string ending : {".pth", ".safetensors", ".gguf", ".bin"}) {
    CAPTURE(ending);
    const Result result = shell("trap '' XFSZ; ulimit -f 200; " + std::string(RWKV_PROGRAM) + " convert " + model +
                                " " + (folder / ("b" + ending)));
    CHECK(result.status == 1);
    CHECK(result.err == "rwkv: " + (folder / ("b" + ending)) + ": cannot write: File too large\n");
    CHECK(folder.n_files() == 1);
  }
}

TEST_CASE("Ctrl-C, SIGTERM and SIGHUP leave nothing behind, and the exit status is 128 and the number of the signal") {
  const TemporaryFolder folder;
  const std::string model = folder / "a.safetensors";
  write_safetensors(synthetic({Generation::v4, 8, 1024, 1024, 4096, 0, 0, 256}, DType::bf16, 1), model);
  const auto interrupt = [&](const std::string& wrapper, const std::string& signal) {
    // The signal comes when the first part of the file is there; the rest takes some hundred milliseconds.
    return shell(wrapper + std::string(RWKV_PROGRAM) + " convert --threads 1 --dtype f32 " + model + " " +
                 (folder / "b.safetensors") + " & while [ -z \"$(find " + (folder / "") +
                 " -name '*partial*' -size +0)\" ]; do :; done; kill -" + signal + " $!; wait $!");
  };
  for (const auto& each : {std::pair{"INT", 130}, {"TERM", 143}, {"HUP", 129}}) {
    CAPTURE(each.first);
    const Result result = interrupt("", each.first);
    CHECK(result.status == each.second);
    CHECK(result.err.empty());
    CHECK(folder.n_files() == 1);
  }
  CHECK(interrupt("trap '' HUP; ", "HUP").status == 0);  // as under nohup
  CHECK(folder.n_files() == 2);
}

TEST_CASE("Ctrl-C is heard while checksums are compared") {
  const TemporaryFolder folder;
  const std::string file = folder / "a.pth";
  Checkpoint large("no model: without Ctrl-C an error");
  const TensorView tensor = make_tensor({4 << 20}, std::vector<float>(4 << 20));
  for (int i = 0; i < 16; ++i) large.add("tensor " + std::to_string(i), tensor);
  write_pth(planned(large), file);
  // When the program listens is seen in the mask of its caught signals, where SIGINT is the second bit. On a busy
  // machine that may be seen too late.
  const std::string command =
      std::string(RWKV_PROGRAM) + " convert " + file + " " + (folder / "b.pth") +
      " & for i in $(seq 1000); do grep -qz 'Name:.rwkv.*SigCgt:.[0-9a-f]*[2367abef].CapInh' /proc/$!/status && break; "
      "done; kill -INT $!; wait $!";
  Result result{0, "", ""};
  for (int i = 0; i < 20 && result.status != 130; ++i) result = shell(command);
  CHECK(result.status == 130);
  CHECK(result.err.empty());
}

TEST_CASE("adapters are merged: the strength is given, or stands beside the file") {
  RWKV_NEEDS_SHARED();
  const TemporaryFolder folder;
  const std::string base = shared_file("spec/golden/models/v7.safetensors");
  const std::string lora = shared_file("spec/golden/formats/v7_lora.pth"), copy = folder / "adapter.pth";
  const std::string a = folder / "a.safetensors", b = folder / "b.safetensors", c = folder / "c.safetensors";
  REQUIRE(program("convert " + base + " " + a + " --lora-alpha 8 --lora " + lora).status == 0);
  write_file(copy, read_file(lora));
  write_file(folder / "adapter_config.json", "{\"lora_alpha\": 8}");
  REQUIRE(program("convert " + base + " " + b + " --lora " + copy).status == 0);
  CHECK(read_file(a) == read_file(b));
  REQUIRE(program("convert " + base + " " + c).status == 0);
  CHECK(first_difference(open_checkpoint(c), open_checkpoint(a)) != "");
}

TEST_CASE("a report goes to standard output and into the file, and a result that is too far off is not written") {
  const TemporaryFolder folder;
  const std::string model = fixture("../../examples/models/fairy-tales-v7.safetensors"), text = folder / "text.txt";
  write_file(text, read_file(fixture("fairy-tales.txt")).substr(0, 3000));
  const std::string out = folder / "a.gguf", command = "convert " + model + " " + out + " --report " + text;
  check_error(command + " --dtype q4_0 --max-kl 0.0000001", error, "KL divergence: expected at most 1e-07, found 0.0");
  CHECK(!std::filesystem::exists(out));
  const Result result = program(command + " --dtype q4_0 --max-kl 0.1 --calibrate " + text);
  REQUIRE(result.status == 0);
  CHECK(result.out.find("KL divergence   0.0") != std::string::npos);
  CHECK(result.out.find("worst tensors") != std::string::npos);
  char size[32];
  std::snprintf(size, sizeof size, "\nfile            %.1f MB\n",
                static_cast<double>(std::filesystem::file_size(out)) * 1e-6);
  CHECK(result.out.ends_with(size));

  const std::string other = folder / "b.safetensors";
  REQUIRE(program("convert " + model + " " + other + " --dtype f16 --report " + text).status == 0);
  const auto report = nlohmann::json::parse(open_checkpoint(other).metadata().at("rwkv.report"));
  CHECK(report["tokens"] > 500);
  CHECK(report["mean_kl"] < 1e-4);  // f16 has more digits than bf16, and all of these numbers
}

TEST_CASE("a report compares what is written with what it was made from: adapter, State and normalisation in both") {
  const TemporaryFolder folder;
  const std::string model = folder / "a.safetensors", lora = folder / "lora.safetensors", text = folder / "text.txt",
                    state = folder / "state.safetensors";
  Checkpoint original = synthetic(small_v7(256), DType::f32, 1);
  original.metadata()[std::string(group_norm_eps_key)] = "0.5";
  write_safetensors(original, model);
  Checkpoint adapter("adapter"), beginning("beginning");
  std::vector<float> numbers(4 * 64);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = std::sin(static_cast<float>(i));
  adapter.add("blocks.0.att.key.lora_A", make_tensor({4, 64}, numbers));
  adapter.add("blocks.0.att.key.lora_B", make_tensor({64, 4}, numbers));
  write_safetensors(adapter, lora);
  const std::vector<float> matrices(2 * 32 * 32, 0.1f);
  for (const char* layer : {"blocks.0", "blocks.1"}) {
    beginning.add(layer + std::string(".att.time_state"), make_tensor({2, 32, 32}, matrices));
  }
  write_safetensors(beginning, state);
  write_file(text, read_file(fixture("fairy-tales.txt")).substr(0, 300));
  for (const std::string& options : {std::string(), " --lora-alpha 8 --lora " + lora, " --state " + state}) {
    CAPTURE(options);
    const std::string out = folder / "b.safetensors";
    REQUIRE(program("convert " + model + " " + out + " --report " + text + options).status == 0);
    const auto report = nlohmann::json::parse(open_checkpoint(out).metadata().at("rwkv.report"));
    CHECK(report["max_kl"] == 0);
  }
}

TEST_CASE("feedback of errors diverges less than rounding each weight by itself, with any number of threads") {
  const TemporaryFolder folder;
  const std::string model = fixture("../../examples/models/fairy-tales-v7.safetensors"), text = folder / "text.txt";
  write_file(text, read_file(fixture("fairy-tales.txt")).substr(0, 3000));
  const auto divergence = [&](const std::string& name, const std::string& options) {
    const std::string out = folder / name;
    REQUIRE(
        program("convert " + model + " " + out + " --dtype q4_0 --calibrate " + text + " --report " + text + options)
            .status == 0);
    return nlohmann::json::parse(open_checkpoint(out).metadata().at("rwkv.report"))["mean_kl"].get<double>();
  };
  CHECK(divergence("a.gguf", "") < 0.9 * divergence("b.gguf", " --no-feedback"));  // of the matrices in layers alone
  CHECK(divergence("c.gguf", " --threads 1") == divergence("d.gguf", " --threads 3"));
  CHECK(read_file(folder / "a.gguf") == read_file(folder / "c.gguf"));
  check_error("convert " + model + " " + (folder / "e.gguf") + " --no-feedback", wrong_usage, "requires --calibrate");
}

TEST_CASE("a budget of bits, measured on a text") {
  const TemporaryFolder folder;
  const std::string model = fixture("../../examples/models/fairy-tales-v7.safetensors"), text = folder / "text.txt";
  write_file(text, read_file(fixture("fairy-tales.txt")).substr(0, 1500));
  const std::string calibrate = " --calibrate " + text + " --budget ";
  REQUIRE(program("convert " + model + " " + (folder / "a.gguf") + calibrate + "5").status == 0);
  Index bits = 0, n_weights = 0;
  const Checkpoint converted = open_checkpoint(folder / "a.gguf");
  for (const auto& [name, tensor] : converted.entries()) {
    if (info(tensor.dtype).block_elements == 1) continue;
    bits += 8 * tensor.n_bytes();
    n_weights += tensor.n_elements();
  }
  CHECK(bits <= 5 * n_weights);
  CHECK(bits > 4.9 * static_cast<double>(n_weights));
  check_error("convert " + model + " " + (folder / "b.gguf") + calibrate + "4", wrong_usage, "expected at least 4.500");
  check_error("convert " + model + " " + (folder / "b.safetensors") + calibrate + "5", wrong_usage,
              "has no types of blocks");
  check_error("convert " + model + " " + (folder / "b.gguf") + " --budget 5", wrong_usage, "requires --calibrate");
}

TEST_SUITE_END();
