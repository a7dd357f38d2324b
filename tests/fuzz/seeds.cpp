// SPDX-License-Identifier: MIT
// Makes the inputs that the fuzzers start from: fuzz_seeds TO SHARED, where SHARED is the folder of the reference data.
// They are its small samples, and models of a few kilobytes written in every format.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/vocabulary.hpp"
#include "rwkv/io/write.hpp"
#include "rwkv/io/zip.hpp"
#include "rwkv/model.hpp"
#include "rwkv/session/session_file.hpp"
#include "rwkv/state/state_file.hpp"
#include "support/small_models.hpp"
#include "text/bpe_file.hpp"
#include "text/byte_vocabulary.hpp"

namespace {

namespace fs = std::filesystem;
using namespace rwkv;

class Seeds {
public:
  explicit Seeds(fs::path to) : to_(std::move(to)) { fs::remove_all(to_); }

  /// The path of a seed that does not exist yet.
  [[nodiscard]] std::string path(const std::string& target, const std::string& name) const {
    fs::create_directories(to_ / target);
    return (to_ / target / name).string();
  }
  void add(const std::string& target, const std::string& name, std::string_view text) const {
    std::ofstream(path(target, name), std::ios::binary) << text;
  }

private:
  fs::path to_;
};

/// Which fuzzer reads files of this kind, or nothing.
std::string target_of(const fs::path& file) {
  const std::string ending = file.extension(), name = file.filename();
  if (ending == ".pth") return "pth";
  if (ending == ".safetensors") return "safetensors";
  if (ending == ".gguf") return "gguf";
  if (ending == ".bin") return "rwkvcpp";
  if (name.starts_with("tokenizer") && ending == ".json") return "tokenizer_json";
  return ending == ".json" ? "json" : "";
}

/// The pickle in the zip of a PyTorch file, if there is one.
void add_pickle(const Seeds& seeds, const std::string& name, const MappedFile& file) {
  try {
    const ZipArchive archive(file.path(), file.bytes());
    for (const ZipEntry& entry : archive.entries()) {
      if (entry.name.ends_with("data.pkl")) seeds.add("pickle", name, as_text(archive.stored(entry)));
    }
  } catch (const Error&) {
    // a broken file, or one of the older form
  }
}

void add_samples(const Seeds& seeds, const fs::path& folder) {
  constexpr std::size_t most = 100'000;  // bytes: more only makes a fuzzer slow
  if (!fs::exists(folder)) return;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || target_of(entry.path()).empty()) continue;
    const std::string name = entry.path().filename();
    const MappedFile file(entry.path().string());
    if (name.ends_with(".pth")) add_pickle(seeds, name, file);
    if (file.bytes().size() > most) continue;
    seeds.add(target_of(entry.path()), name, as_text(file.bytes()));
    if (name.find("state") != name.npos) seeds.add("state", name, as_text(file.bytes()));
    if (name.find("lora") != name.npos) seeds.add("lora", name, as_text(file.bytes()));
    if (name.ends_with(".bin")) seeds.add("model", name, as_text(file.bytes()));
  }
}

/// A model of every generation, in every format that holds it; the vocabulary goes into its metadata.
void add_models(const Seeds& seeds) {
  const auto write = [&](const Checkpoint& model, const std::string& name) {
    for (const FileFormatInfo& each : file_formats) {
      const std::string target = target_of("x" + std::string(each.extension));
      const std::string file = name + std::string(each.extension), path = seeds.path(target, file);
      try {
        write_checkpoint(planned(model), each.format, path);
      } catch (const Error&) {
        continue;  // this format does not hold it
      }
      fs::copy_file(path, seeds.path("model", file));
      if (each.format == FileFormat::pth) add_pickle(seeds, file, MappedFile(path));
    }
  };
  for (const Config& config : rwkv_test::small_models()) {
    Checkpoint model = synthetic(config, DType::f32, 1);
    model.metadata()[std::string(vocabulary_key)] = "1 b'a' 1\n2 'b\\'' 2\n";
    write(model, "v" + std::string(name(config.generation)));
  }
  Config blocks{Generation::v7, 1, 32, 32, 64, 1, 32, 8, {0, 8, 8, 8, 8}};
  for (const DType dtype : {DType::q8_0, DType::q4_0, DType::q5_1, DType::iq4_nl}) {
    write(synthetic(blocks, dtype, 1), "v7-" + std::string(name(dtype)));
  }
}

void add_states(const Seeds& seeds) {
  for (const Generation generation : {Generation::v4, Generation::v7}) {
    const std::string label(name(generation));
    const Model model(synthetic(rwkv_test::small_model(generation), DType::f32, 1));
    const State state = model.new_state();
    save_state(state, seeds.path("state", label + ".safetensors"));
    Checkpoint list;
    for (const TensorView& tensor : to_pip_state(state)) list.add(std::to_string(list.entries().size()), tensor);
    write_checkpoint(planned(list), FileFormat::pth, seeds.path("state", label + ".pth"));
  }
  Checkpoint tuned;
  for (const char* const layer : {"0", "1"}) {
    tuned.add("blocks." + std::string(layer) + ".att.time_state", make_tensor({2, 8, 8}, std::vector<float>(128)));
  }
  write_checkpoint(planned(tuned), FileFormat::safetensors, seeds.path("state", "tuned.safetensors"));
}

void add_sessions(const Seeds& seeds) {
  Workspace workspace({1});
  const Model model(synthetic(rwkv_test::small_byte_model(Generation::v7), DType::f32, 1));
  Session session(model, Tokenizer(ByteTokenizer()), workspace, {.interval = 8});
  session.notes()["title"] = "a note";
  session.read("Once upon a time");
  session.rewind(9);
  session.read("another branch");
  for (const StateForm form : {StateForm::f32, StateForm::f16, StateForm::q8}) {
    save_session(session, seeds.path("session", "form-" + std::to_string(static_cast<int>(form))), {.form = form});
  }
}

void add_adapters(const Seeds& seeds) {
  Checkpoint adapter, peft;
  const TensorView a = make_tensor({2, 16}, std::vector<float>(32, 1)),
                   b = make_tensor({16, 2}, std::vector<float>(32));
  adapter.add("blocks.0.att.key.lora_A", a);
  adapter.add("blocks.0.att.key.lora_B", b);
  adapter.add("blocks.0.ln1.weight", make_tensor({16}, std::vector<float>(16)));
  peft.add("base_model.model.model.layers.1.attn.o_proj.lora_A.weight", a);
  peft.add("base_model.model.model.layers.1.attn.o_proj.lora_B.weight", b);
  write_checkpoint(planned(adapter), FileFormat::safetensors, seeds.path("lora", "official.safetensors"));
  write_checkpoint(planned(peft), FileFormat::safetensors, seeds.path("lora", "peft.safetensors"));
}

void add_texts(const Seeds& seeds, const std::string& fixtures) {
  const MappedFile index(fixtures + "/hugging-face/rwkv4/model.safetensors.index.json");
  const MappedFile config(fixtures + "/hugging-face/rwkv4/config.json");
  seeds.add("folder", "model", std::string(as_text(index.bytes())) + '\0' + std::string(as_text(config.bytes())));
  seeds.add("json", "values", R"([{"a": [1, -2.5e-3, 0.0E+7], "\u00e9\ud83d\ude00\n": ""}, true, false, null])");
  seeds.add("json", "adapter", R"({"lora_alpha": 16, "r": 8, "use_rslora": false, "alpha_pattern": {}})");
  const std::string bytes = rwkv_test::byte_vocabulary();
  seeds.add("world_tokenizer", "bytes", bytes);
  seeds.add("world_tokenizer", "words", bytes + "257 'ab' 2\n258 \"it's\" 4\n300 '\\u00e9\\n' 3\n301 b'\\xe9\\'' 2\n");
  seeds.add("tokenizer_json", "small", rwkv_test::small_bpe().dump());
  seeds.add("tokenizer_json", "indented", rwkv_test::small_bpe().dump(1));
  seeds.add("grammar", "gbnf", "root ::= (\"a\" | [b-y^\\x7a]){2,3} other? # end\nother ::= \"\\u00e9\" root*\n");
  seeds.add("grammar", "object",
            R"({"type": "object", "properties": {"a": {"enum": [1, "x", null]}, "b": {"$ref": "#"}},
 "required": ["a"], "additionalProperties": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}})");
  seeds.add("grammar", "values", R"({"anyOf": [{"type": "integer", "minimum": -3, "exclusiveMaximum": 17},
 {"type": "number", "minimum": 0.25}, {"type": "string", "pattern": "^[a-z]+(-\\d{2})?$"},
 {"type": "string", "minLength": 1, "maxLength": 9}, {"const": {"x": [1]}}]})");
  seeds.add("chat_template", "own",
            R"({"name": "pirate", "system": "Captain: {text}\n\n", "user": "Mate: {text}\n\nPirate: <think",
 "opening": " <think", "closing": "\n\n", "stops": ["\n\n"], "cleaning": "single_lines"})");
  seeds.add("chat_template", "jinja", "{% for m in messages %}{{ 'User: ' + m }}{{ 'Assistant: <think' }}{% endfor %}");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const Seeds seeds(argv[1]);
  const fs::path shared(argv[2]);
  try {
    for (const char* const folder : {"spec/golden/formats", "testdata/bad", "testdata/odd-valid"}) {
      add_samples(seeds, shared / folder);
    }
    add_samples(seeds, RWKV_TEST_FIXTURES);
    add_models(seeds);
    add_states(seeds);
    add_sessions(seeds);
    add_adapters(seeds);
    add_texts(seeds, RWKV_TEST_FIXTURES);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
