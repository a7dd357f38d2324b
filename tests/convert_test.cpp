// SPDX-License-Identifier: MIT
#include "rwkv/convert.hpp"

#include "io/files.hpp"
#include "rwkv/arch/sparse.hpp"
#include "rwkv/arch/storage_rule.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/vocabulary.hpp"
#include "rwkv/io/write.hpp"
#include "rwkv/model.hpp"
#include "support/count_allocations.hpp"
#include "support/golden.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

/// A file of its own for every format, gone with it.
class Written {
public:
  Written(const Checkpoint& checkpoint, FileFormat format, const ConvertOptions& options = {})
      : file_(std::string(file_formats[static_cast<std::size_t>(format)].extension)) {
    ThreadPool threads(2);
    write_checkpoint(plan_conversion(checkpoint, options, threads), format, file_.path());
  }
  [[nodiscard]] const std::string& path() const { return file_.path(); }
  [[nodiscard]] Checkpoint open() const { return open_checkpoint(file_.path()); }

private:
  TemporaryFile file_;
};

Checkpoint shared_model(const std::string& name) { return open_checkpoint(shared_file("testdata/models/" + name)); }

/// Layer 0 has no earlier values to mix in: GGUF holds copies of a0, a1, a2 there.
bool is_unused(const std::string& name) { return name.starts_with("blocks.0.att.v") && name.size() == 15; }

/// Whether all tensors hold the same numbers, in shapes that may differ by axes of length 1.
void check_same_numbers(const Checkpoint& found, const Checkpoint& expected, bool with_types) {
  const auto n_used = [](const Checkpoint& checkpoint) {
    return std::ranges::count_if(checkpoint.entries(), [](const auto& entry) { return !is_unused(entry.name); });
  };
  CHECK(n_used(found) == n_used(expected));
  for (const auto& entry : expected.entries()) {
    if (is_unused(entry.name)) continue;
    CAPTURE(entry.name);
    const TensorView& tensor = found.at(entry.name);
    if (with_types) CHECK(tensor.dtype == entry.tensor.dtype);
    CHECK(max_abs_difference(read_all<double>(tensor), read_all<double>(entry.tensor)) == 0);
  }
}

Config small_v7() {
  Config config{Generation::v7, 2, 64, 64, 128, 2, 32, 256};
  config.low_rank = {.decay = 8, .rate = 8, .value = 8, .gate = 16};
  return config;
}

Checkpoint small_model() { return synthetic(small_v7(), DType::f32, 3); }

/// With all numbers of one tensor the same, in a type of its own.
Checkpoint filled(const Checkpoint& checkpoint, const std::string& name, float value, DType dtype = DType::f32) {
  return checkpoint.transformed([&](Checkpoint::Entry entry) {
    if (entry.name != name) return entry;
    const std::vector<float> values(static_cast<std::size_t>(entry.tensor.n_elements()), value);
    ThreadPool threads(1);
    entry.tensor = cast(make_tensor(entry.tensor.shape, values), dtype, threads);
    return entry;
  });
}

/// Whether all logits of the tokens of a golden file are those that it has under this name.
void check_logits(const Checkpoint& checkpoint, const Golden& expected, const std::string& name) {
  const Model model(checkpoint);
  Workspace workspace;
  State state = model.new_state();
  const auto tokens = expected.tokens();
  Sequence sequence{tokens, &state, Logits::all};
  model.forward(std::span(&sequence, 1), workspace);
  const auto logits = expected.values(name);
  double largest = 0;
  for (const double x : logits) largest = std::max(largest, std::abs(x));
  CHECK(max_abs_difference(sequence.logits.span(), logits) < 2e-5 * largest);  // the tolerance of its specification
}

std::string fingerprint(const Checkpoint& checkpoint) { return Model(checkpoint).state_layout().fingerprint(); }

}  // namespace

TEST_SUITE_BEGIN("convert");

TEST_CASE("pth to safetensors to GGUF to rwkv.cpp to pth: every number and every type comes back") {
  RWKV_NEEDS_SHARED();
  for (const auto& pair : {std::pair<std::string, DType>{"v7.0/v7.0-fp32.pth", DType::f32},
                           {"v7.0/v7.0-fp16.pth", DType::f16},
                           {"v7.0-h32/v7.0-h32-fp32.pth", DType::f32},
                           {"v6.0/v6.0-fp32.pth", DType::f32}}) {
    const std::string& name = pair.first;
    CAPTURE(name);
    const Checkpoint original = shared_model(name);
    const Written safetensors(original, FileFormat::safetensors);
    const Written gguf(safetensors.open(), FileFormat::gguf);
    const Written bin(gguf.open(), FileFormat::rwkvcpp);
    const Written pth(bin.open(), FileFormat::pth, {.dtype = pair.second});  // vectors are f32 in GGUF
    check_same_numbers(safetensors.open(), original, true);
    check_same_numbers(gguf.open(), original, false);
    check_same_numbers(bin.open(), original, false);
    check_same_numbers(pth.open(), original, true);
  }
}

TEST_CASE("bf16 goes all ways but into rwkv.cpp, which has it as f32") {
  RWKV_NEEDS_SHARED();
  const Checkpoint original = shared_model("v7.0/v7.0-bf16.pth");
  const TemporaryFile refused(".bin");
  ThreadPool threads(1);
  CHECK_THROWS_WITH_AS(write_checkpoint(plan_conversion(original, {}, threads), FileFormat::rwkvcpp, refused.path()),
                       doctest::Contains("rwkv.cpp has no type bf16"), UnsupportedError);
  CHECK(!std::filesystem::exists(refused.path()));
  const Written gguf(Written(original, FileFormat::safetensors).open(), FileFormat::gguf);
  const Written bin(gguf.open(), FileFormat::rwkvcpp, {.dtype = DType::f32});
  const Written pth(bin.open(), FileFormat::pth, {.dtype = DType::bf16});
  check_same_numbers(bin.open(), original, false);
  check_same_numbers(pth.open(), original, true);
}

TEST_CASE("blocks stay blocks between GGUF and rwkv.cpp, and have no place elsewhere") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v7_Q8_0.bin", "v7_Q4_0.bin", "v7_Q5_1.bin"}) {
    CAPTURE(name);
    const Checkpoint original = open_checkpoint(shared_file("spec/golden/formats/" + name));
    const Written gguf(original, FileFormat::gguf), bin(gguf.open(), FileFormat::rwkvcpp);
    int n_blocks = 0;
    for (const auto& entry : original.entries()) {
      if (info(entry.tensor.dtype).block_elements == 1) continue;
      CAPTURE(entry.name);
      CHECK(same_tensor(gguf.open().at(entry.name), entry.tensor));
      CHECK(same_tensor(bin.open().at(entry.name), entry.tensor));
      ++n_blocks;
    }
    CHECK(n_blocks == 3 * 6);
    for (const FileFormat format : {FileFormat::pth, FileFormat::safetensors}) {
      CHECK_THROWS_WITH_AS(Written(original, format), doctest::Contains("Choose f32, f16 or bf16"), UnsupportedError);
      check_same_numbers(Written(original, format, {.dtype = DType::f32}).open(), original, false);
    }
  }
}

TEST_CASE("the same input gives the same bytes, for any number of threads") {
  const Checkpoint model = small_model();
  for (const FileFormatInfo& format : file_formats) {
    for (const DType dtype : {DType::f16, DType::q8_0}) {
      const bool has_blocks = format.format == FileFormat::gguf || format.format == FileFormat::rwkvcpp;
      if (dtype == DType::q8_0 && !has_blocks) continue;
      CAPTURE(format.name);
      std::string first;
      for (const int n_threads : {1, 3}) {
        ThreadPool threads(n_threads);
        const TemporaryFile file(".out");
        write_checkpoint(plan_conversion(model, {.dtype = dtype}, threads), format.format, file.path());
        const std::string bytes = read_file(file.path());
        CHECK(first.size() <= bytes.size());
        if (!first.empty()) CHECK(bytes == first);
        first = bytes;
      }
    }
  }
}

TEST_CASE("which tensor is stored in which type") {
  const auto stored = [](const char* name, const Shape& shape, TensorRole role, DType own, DType wanted,
                         bool is_exact = false) {
    return stored_dtype({name, shape, role}, own, wanted, is_exact);
  };
  const char* const inside = "blocks.0.att.key.weight";
  using R = TensorRole;
  CHECK(stored(inside, {64, 512}, R::matrix, DType::bf16, DType::f16) == DType::f16);
  CHECK(stored(inside, {64, 512}, R::matrix, DType::q4_0, DType::f32) == DType::f32);
  CHECK(stored(inside, {64, 512}, R::matrix, DType::bf16, DType::q4_k) == DType::q4_k);
  CHECK(stored(inside, {64, 512}, R::sparse, DType::bf16, DType::q5_0) == DType::q5_0);
  CHECK(stored(inside, {64, 96}, R::matrix, DType::bf16, DType::q4_k) == DType::q5_0);
  CHECK(stored(inside, {64, 96}, R::matrix, DType::bf16, DType::q5_k) == DType::q5_1);
  CHECK(stored(inside, {64, 96}, R::matrix, DType::bf16, DType::q6_k) == DType::q8_0);
  CHECK(stored(inside, {64, 50}, R::matrix, DType::bf16, DType::q6_k) == DType::bf16);
  CHECK(stored(inside, {64, 50}, R::matrix, DType::f32, DType::q8_0) == DType::f16);
  CHECK(stored("head.weight", {99, 512}, R::matrix, DType::bf16, DType::q4_0) == DType::q8_0);
  CHECK(stored("head.weight", {99, 512}, R::matrix, DType::q6_k, DType::q4_0) == DType::q6_k);
  CHECK(stored("head.weight", {99, 512}, R::matrix, DType::bf16, DType::f32) == DType::f32);
  CHECK(stored("emb.weight", {99, 512}, R::embedding, DType::f32, DType::q4_0) == DType::q8_0);
  CHECK(stored("blocks.0.att.w1", {512, 64}, R::by_input, DType::bf16, DType::q4_0) == DType::bf16);
  CHECK(stored("blocks.0.att.w1", {512, 64}, R::by_input, DType::bf16, DType::f16) == DType::f16);
  CHECK(stored("blocks.0.att.time_state", {8, 64, 64}, R::matrix, DType::f32, DType::q4_0) == DType::f32);
  CHECK(stored("blocks.0.ln1.weight", {512}, R::vector, DType::f32, DType::q4_0) == DType::f32);
  CHECK(stored("blocks.0.ln1.weight", {512}, R::vector, DType::f32, DType::bf16, false) == DType::f32);
  CHECK(stored("blocks.0.ln1.weight", {512}, R::vector, DType::f32, DType::bf16, true) == DType::bf16);
}

TEST_CASE("a copy in another type goes on with the States of the original, from every format that has room to say so") {
  const Checkpoint model = small_model();
  for (const FileFormat format : {FileFormat::pth, FileFormat::safetensors, FileFormat::gguf}) {
    CHECK(fingerprint(Written(model, format, {.dtype = DType::f16}).open()) == fingerprint(model));
  }
  CHECK(fingerprint(Written(model, FileFormat::rwkvcpp).open()) != "");
}

TEST_CASE("metadata and the vocabulary of the source are kept") {
  Checkpoint model = small_model();
  const std::string vocabulary = "1 b'a' 1\n2 b'\\x27' 1\n";
  model.metadata() = {{"author", "somebody"}, {std::string(vocabulary_key), vocabulary}};
  for (const FileFormat format : {FileFormat::pth, FileFormat::safetensors, FileFormat::gguf}) {
    const Checkpoint found = Written(model, format).open();
    CHECK(found.metadata().at("author") == "somebody");
    CHECK(found.metadata().at(std::string(vocabulary_key)) == vocabulary);
  }
}

TEST_CASE("all generations go through PyTorch's and safetensors' files") {
  RWKV_NEEDS_SHARED();
  for (const std::string name :
       {"v1", "v2", "v2-ffnPre", "v3", "v4", "v4-odd", "v5.0", "v5.1", "v5.2", "v6.0-h32-state"}) {
    CAPTURE(name);
    const Checkpoint original = shared_model(name + "/" + name + "-fp32.pth");
    for (const FileFormat format : {FileFormat::pth, FileFormat::safetensors}) {
      const Checkpoint found = Written(original, format).open();
      check_same(found, original);
      CHECK(fingerprint(found) == fingerprint(original));
    }
    for (const FileFormat format : {FileFormat::gguf, FileFormat::rwkvcpp}) {
      if (format == FileFormat::rwkvcpp && (name.starts_with("v4") || name.starts_with("v5"))) continue;
      CHECK_THROWS_AS(Written(original, format), UnsupportedError);
    }
  }
}

TEST_CASE("matrices that sparse_channel_mix stores by input are stored by output again") {
  const Checkpoint model = small_model(), sparse = sparse_channel_mix(model);
  CHECK(sparse.at("blocks.0.ffn.value.weight").shape != model.at("blocks.0.ffn.value.weight").shape);
  check_same(Written(sparse, FileFormat::safetensors).open(), model);
}

TEST_CASE("numbers that do not fit name the tensor, and nothing is left behind") {
  const TemporaryFolder folder;
  const Checkpoint model = filled(small_model(), "blocks.1.ffn.key.weight", 1e5f);
  ThreadPool threads(2);
  for (const DType dtype : {DType::f16, DType::q8_0}) {
    const PlannedFile plan = plan_conversion(model, {.dtype = dtype}, threads);
    CHECK_THROWS_WITH_AS(write_checkpoint(plan, FileFormat::gguf, folder / "out"),
                         doctest::Contains("tensor 'blocks.1.ffn.key.weight': cannot be stored as"), ModelError);
    CHECK(folder.n_files() == 0);
  }
  CHECK_THROWS_AS(static_cast<void>(plan_conversion(model, {.dtype = DType::i8}, threads)), ArgumentError);
}

TEST_CASE("what cannot be stored is told with the tensor and with what to do") {
  const std::string name = "blocks.1.att.key.weight";
  ThreadPool threads(1);
  const auto make = [&](const Checkpoint& model, const ConvertOptions& options) {
    static_cast<void>(plan_conversion(model, options, threads).find(name)->make());
  };
  CHECK_THROWS_WITH_AS(make(filled(small_model(), name, 1e5f), {.dtype = DType::q8_0}),
                       doctest::Contains("expected numbers of up to 65504, found 1e+05. Keep this tensor in f32"),
                       ModelError);
  // Inputs whose squares are beyond the largest float.
  const Checkpoint loud = filled(small_model(), "blocks.1.ln1.weight", 1e30f);
  const std::vector<Token> text{1, 2, 3};
  Workspace workspace({1});
  InputMoments moments(loud, text, workspace);
  CHECK_THROWS_WITH_AS(make(loud, {.dtype = DType::q8_0, .moments = &moments}),
                       doctest::Contains("tensor 'blocks.1.att.key.weight': cannot be stored as q8_0: expected moments "
                                         "that are finite numbers, not negative on the diagonal, found inf. Take"),
                       ModelError);
}

TEST_CASE("error feedback reads the text once, whatever the order of the tensors and the format") {
  Config config = small_v7();
  config.n_layer = 11;
  const Checkpoint ordered = synthetic(config, DType::f32, 3);
  std::map<std::string, TensorView> by_name;  // layer 10 is before layer 2
  for (const auto& [name, tensor] : ordered.entries()) by_name.emplace(name, tensor);
  Checkpoint alphabetical;
  for (const auto& [name, tensor] : by_name) alphabetical.add(name, tensor);
  const std::vector<Token> text{1, 2, 3, 4, 5};
  const Checkpoint tied = ordered.transformed([&](Checkpoint::Entry entry) {
    if (entry.name == "head.weight") entry.tensor = ordered.at("emb.weight");
    return entry;
  });
  for (const Checkpoint& model : {ordered, alphabetical, tied}) {
    for (const FileFormat format : {FileFormat::gguf, FileFormat::rwkvcpp}) {
      CAPTURE(static_cast<int>(format));
      Workspace workspace({1});
      Index n_read = 0;
      InputMoments moments(model, text, workspace, [&](Index n) { n_read += n; });
      const Written written(model, format, {.dtype = DType::q8_0, .moments = &moments});
      CHECK(n_read == (11 + 1) * 5);
      CHECK(written.open().at("blocks.10.ffn.key.weight").dtype == DType::q8_0);
    }
  }
}

TEST_CASE("vectors are stored in a type if it has all of their numbers") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::string name = "blocks.1.ln1.weight";
  const auto stored = [&](float value, DType from, DType to) {
    ThreadPool threads(1);
    const Checkpoint model = filled(small_model(), name, value, from);
    const PlannedFile plan = plan_conversion(model, {.dtype = to}, threads);
    const PlannedTensor& tensor = *plan.find(name);
    CHECK(read_all<float>(tensor.make())[0] == value);
    return tensor.dtype;
  };
  CHECK(stored(65504, DType::f32, DType::f16) == DType::f16);
  CHECK(stored(65505, DType::f32, DType::f16) == DType::f32);
  CHECK(stored(0x1p17f, DType::bf16, DType::f16) == DType::bf16);
  CHECK(stored(infinity, DType::f32, DType::f16) == DType::f16);
  CHECK(stored(-0x1p17f, DType::f32, DType::bf16) == DType::bf16);
  CHECK(stored(100001, DType::f32, DType::bf16) == DType::f32);
  for (const DType from : {DType::bf16, DType::f64}) CHECK(stored(0x1p17f, from, DType::f32) == DType::f32);
  CHECK(stored(infinity, DType::bf16, DType::f32) == DType::f32);
}

TEST_CASE("an interrupted write leaves nothing behind, and the old file as it was") {
  const TemporaryFolder folder;
  const std::string path = folder / "out";
  write_file(path, "old");
  const Checkpoint model = small_model();
  ThreadPool threads(1);
  struct Stop {};
  for (const FileFormatInfo& format : file_formats) {
    CAPTURE(format.name);
    int n_calls = 0;
    const auto stop = [&](Index n) {
      CHECK(n > 0);
      if (++n_calls == 10) throw Stop{};
    };
    CHECK_THROWS_AS(write_checkpoint(plan_conversion(model, {}, threads), format.format, path, stop), Stop);
    CHECK(n_calls == 10);
    CHECK(read_file(path) == "old");
    CHECK(folder.n_files() == 1);
  }
}

TEST_CASE("progress adds up to the bytes of all tensors") {
  const Checkpoint model = small_model();
  ThreadPool threads(1);
  const PlannedFile plan = plan_conversion(model, {}, threads);
  Index expected = 0, found = 0;
  for (const PlannedTensor& tensor : plan.tensors) expected += tensor.n_bytes();
  const TemporaryFile file(".safetensors");
  write_checkpoint(plan, FileFormat::safetensors, file.path(), [&](Index n) { found += n; });
  CHECK(found == expected);
}

TEST_CASE("a LoRA adapter is merged, under every name that training programs give it") {
  RWKV_NEEDS_SHARED();
  const Checkpoint base = open_checkpoint(shared_file("spec/golden/models/v7.safetensors"));
  const Checkpoint file = open_checkpoint(shared_file("spec/golden/formats/v7_lora.pth"));
  const Golden expected("spec/golden/formats/v7_adapters.expect.safetensors");
  const auto check_merged = [&](const Lora& lora) {
    const Checkpoint merged = Written(base, FileFormat::safetensors, {.lora = &lora}).open();
    check_logits(merged, expected, "logits_lora_alpha8");
    CHECK(fingerprint(merged) != fingerprint(base));
  };
  check_merged(Lora(file, {8}));
  const auto renamed = [&file](auto&& change) {
    return file.transformed([&](Checkpoint::Entry entry) {
      change(entry.name);
      return entry;
    });
  };
  check_merged(Lora(renamed([](std::string& name) {
                      if (name.find(".lora_") != name.npos) name += ".weight";
                      name.insert(0, "base_model.model.");
                    }),
                    {8}));
  check_merged(Lora(renamed([](std::string& name) {
                      for (const auto& [from, to] : {std::pair{"blocks.", "model.layers."},
                                                     {".att.", ".attn."},
                                                     {".receptance", ".r_proj"},
                                                     {".att.key", ".att.k_proj"}}) {
                        detail::replace_first(name, from, to);
                      }
                      if (name.find(".lora_") != name.npos) name += ".default.weight";
                    }),
                    {8}));
  check_merged(Lora(file, {4, true}));  // 4 over the square root of 4 is 8 over 4
  CHECK_THROWS_AS(
      check_merged(Lora(renamed([](std::string& name) { detail::replace_first(name, ".att.key", ".att.kee"); }), {8})),
      ModelError);
}

TEST_CASE("adapters that are none, of another kind or of another model are refused") {
  const Checkpoint model = small_model();
  const auto matrix = [](Index rows, Index columns) {
    return make_tensor({rows, columns}, std::vector<float>(static_cast<std::size_t>(rows * columns)));
  };
  const auto pair = [&](const std::string& name, const TensorView& a, const TensorView& b) {
    Checkpoint file("lora.pth");
    file.add(name + ".lora_A", a);
    if (b.data != nullptr) file.add(name + ".lora_B", b);
    return file;
  };
  const std::string key = "blocks.0.att.key";
  CHECK_NOTHROW(Lora(pair(key, matrix(4, 64), matrix(64, 4)), {8}).check(model));
  CHECK_THROWS_WITH_AS(Lora(pair(key, matrix(4, 64), {}), {8}), doctest::Contains("found [4, 64] and none"),
                       FormatError);
  CHECK_THROWS_AS(Lora(pair(key, matrix(4, 64), matrix(64, 5)), {8}), FormatError);
  CHECK_THROWS_WITH_AS(Lora(pair(key, matrix(4, 64), matrix(32, 4)), {8}).check(model),
                       doctest::Contains("expected shape [64, 64], found shape [32, 64]"), ModelError);
  CHECK_THROWS_WITH_AS(Lora(pair("blocks.9.att.key", matrix(4, 64), matrix(64, 4)), {8}).check(model),
                       doctest::Contains("'blocks.9.att.key.weight': is an adapter of another model"), ModelError);
  for (const auto& [name, kind] : {std::pair{".lora_M", "DoRA"},
                                   {".init_lora_A", "PiSSA"},
                                   {".bone", "Bone"},
                                   {".disha", "DiSHA"},
                                   {".lora.0", "web-rwkv"}}) {
    Checkpoint file("lora.pth");
    file.add(key + name, matrix(4, 64));
    CHECK_THROWS_WITH_AS(Lora(file, {8}), doctest::Contains(kind), UnsupportedError);
  }
}

TEST_CASE("the strength of an adapter in the configuration of PEFT") {
  const TemporaryFile file(".json");
  const auto read = [&](const std::string& text) {
    write_file(file.path(), text);
    return read_lora_config(file.path());
  };
  CHECK(read(R"({"r": 8, "lora_alpha": 16, "target_modules": ["key"]})").alpha == 16);
  CHECK(!read(R"({"lora_alpha": 1.5e1, "alpha_pattern": {}})").is_rank_stabilised);
  CHECK(read(R"({"use_rslora": true, "lora_alpha": 4})").is_rank_stabilised);
  CHECK_THROWS_WITH_AS(read("{}"), doctest::Contains("lora_alpha: is missing"), FormatError);
  CHECK_THROWS_AS(read(R"({"lora_alpha": "16"})"), FormatError);
  CHECK_THROWS_AS(read(R"({"lora_alpha": 1e999})"), FormatError);
  CHECK_THROWS_AS(read(R"({"lora_alpha": 1, "alpha_pattern": {"key": 3}})"), UnsupportedError);
}

TEST_CASE("a tuned State is attached, and States of other models are not") {
  RWKV_NEEDS_SHARED();
  const Checkpoint base = open_checkpoint(shared_file("spec/golden/models/v7.safetensors"));
  const Checkpoint state = open_checkpoint(shared_file("spec/golden/formats/v7_time_state.pth"));
  const Golden expected("spec/golden/formats/v7_adapters.expect.safetensors");
  check_logits(Written(base, FileFormat::safetensors, {.state = &state}).open(), expected, "logits_time_state");

  CHECK_THROWS_AS(Written(small_model(), FileFormat::pth, {.state = &state}), ModelError);
  CHECK_THROWS_AS(Written(shared_model("v4/v4-fp32.pth"), FileFormat::pth, {.state = &state}), ModelError);
  CHECK_THROWS_WITH_AS(Written(base, FileFormat::gguf, {.state = &state}), doctest::Contains("no place for it"),
                       UnsupportedError);
}

TEST_CASE("memory: below twice the largest tensor, whatever the size of the file") {
  // 8 matrices of 16 MB, and smaller ones; the threads use some MB more.
  const Config config{Generation::v4, 4, 1024, 1024, 4096, 0, 0, 256};
  const TemporaryFile source(".safetensors");
  write_safetensors(synthetic(config, DType::f32, 3), source.path());
  const Checkpoint model = open_checkpoint(source.path());
  constexpr long largest = 16 << 20;
  Index n_bytes = 0;
  for (const auto& entry : model.entries()) n_bytes += entry.tensor.n_bytes();
  CHECK(n_bytes > 12 * largest);
  ThreadPool threads(2);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::q8_0}) {
    for (const FileFormat format : {FileFormat::pth, FileFormat::safetensors, FileFormat::rwkvcpp}) {
      const bool has_type = (format == FileFormat::rwkvcpp) == (dtype == DType::q8_0) || dtype == DType::f32;
      if (!has_type) continue;
      CAPTURE(name(dtype));
      const long before = live_bytes();
      static_cast<void>(take_peak_bytes());
      const TemporaryFile out(".out");
      write_checkpoint(plan_conversion(model, {.dtype = dtype}, threads), format, out.path());
      CHECK(take_peak_bytes() - before < (dtype == DType::f32 ? largest / 8 : largest));
      CHECK(live_bytes() - before < largest / 100);
    }
  }
}

TEST_SUITE_END();
