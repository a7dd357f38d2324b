// SPDX-License-Identifier: MIT
#include "rwkv/state/state_file.hpp"

#include <limits>

#include "io/torch_list.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/load.hpp"
#include "support/golden.hpp"
#include "support/states.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::Golden;
using rwkv_test::LayoutOnly;
using rwkv_test::max_abs_difference;
using rwkv_test::read_file;
using rwkv_test::shared_file;
using rwkv_test::TemporaryFile;
using rwkv_test::write_file;

namespace {

template <class Scalar = float>
BasicModel<Scalar> small_model(std::uint64_t seed = 1, Index n_embd = 16) {
  return BasicModel<Scalar>(synthetic({Generation::v4, 2, n_embd, n_embd, 32, 0, 0, 20}, DType::f32, seed));
}

template <class Scalar>
std::vector<Scalar> logits_of(const BasicModel<Scalar>& model, std::span<const Token> tokens,
                              BasicState<Scalar>& state) {
  Workspace workspace({1});
  BasicSequence<Scalar> sequence{tokens, &state, Logits::all};
  model.forward(std::span(&sequence, 1), workspace);
  const auto logits = sequence.logits.span();
  return {logits.begin(), logits.end()};
}

template <class Scalar>
BasicState<Scalar> used_state(const BasicModel<Scalar>& model) {
  auto state = model.new_state();
  const std::vector<Token> tokens{3, 1, 4, 1, 5};
  static_cast<void>(logits_of(model, tokens, state));
  return state;
}

constexpr double infinity = std::numeric_limits<double>::infinity(),
                 not_a_number = std::numeric_limits<double>::quiet_NaN();

/// A State of a small model in a file.
class StateFile {
public:
  StateFile() { save_state(used_state(small_model()), file_.path()); }
  [[nodiscard]] const std::string& path() const { return file_.path(); }
  [[nodiscard]] Checkpoint read() const { return read_safetensors(std::make_shared<const MappedFile>(path())); }

  void set_metadata(const std::string& key, const std::string& value) const {
    Checkpoint file = read();
    file.metadata()[key] = value;
    write_safetensors(file, path());
  }
  void remove_metadata(const std::string& key) const {
    Checkpoint file = read();
    file.metadata().erase(key);
    write_safetensors(file, path());
  }
  /// Writes the tensors that there are, but for one, and another one.
  void replace(const std::string& removed, const std::string& added, const TensorView& tensor) const {
    const Checkpoint before = read();
    Checkpoint file(path());
    file.metadata() = before.metadata();
    for (const auto& [name, stored] : before.entries()) {
      if (name != removed) file.add(name, stored);
    }
    file.add(added, tensor);
    write_safetensors(file, path());
  }

private:
  TemporaryFile file_{".safetensors"};
};

template <class Error, class AnyModel>
void check_refused(const AnyModel& model, const std::string& path, const std::string& phrase) {
  CAPTURE(phrase);
  CHECK_THROWS_WITH_AS(static_cast<void>(load_state(model, path)), doctest::Contains(phrase.c_str()), Error);
  CHECK_THROWS_WITH_AS(static_cast<void>(load_state(model, path)), doctest::Contains(path.c_str()), Error);
}

/// The reference models that run, one of each kind at least.
const char* const reference_models[] = {"v1/v1-fp32",
                                        "v2/v2-fp32",
                                        "v2-ffnPre/v2-ffnPre-fp32",
                                        "v3/v3-fp32",
                                        "v3-ffnPre-noqk/v3-ffnPre-noqk-fp32",
                                        "v4/v4-fp32",
                                        "v4/v4-bf16",
                                        "v4-odd/v4-odd-fp32",
                                        "v5.0/v5.0-fp32",
                                        "v5.0-faaaa/v5.0-faaaa-fp32",
                                        "v5.1/v5.1-fp32",
                                        "v5.2/v5.2-fp32",
                                        "v5.2-h32/v5.2-h32-fp32",
                                        "v6.0/v6.0-fp32",
                                        "v6.0-h32-state/v6.0-h32-state-fp32",
                                        "v7.0/v7.0-fp32",
                                        "v7.0/v7.0-bf16",
                                        "v7.0-h32/v7.0-h32-fp32",
                                        "spec/golden/models/v6a",
                                        "spec/golden/models/v6b",
                                        "spec/golden/models/v7a",
                                        "spec/golden/models/v7b",
                                        "spec/golden/models/v8rc00"};

std::string reference_model(const std::string& name) {
  return name.starts_with("spec/") ? shared_file(name + ".safetensors")
                                   : shared_file("testdata/models/" + name + ".pth");
}

/// The tensors of a state-tuned model that are its State, and the others.
struct TunedParts {
  explicit TunedParts(const Checkpoint& checkpoint) {
    for (const auto& [name, tensor] : checkpoint.entries()) {
      (name.ends_with(".time_state") ? time_state : base).add(name, tensor);
    }
  }
  Checkpoint base{"base.pth"}, time_state{"time_state.pth"};
};

}  // namespace

TEST_SUITE_BEGIN("state/state_file");

TEST_CASE("a saved state goes on bit for bit, in every generation, with a model that was loaded again") {
  RWKV_NEEDS_SHARED();
  const auto check = []<class Scalar>(const std::string& name, Scalar) {
    CAPTURE(name);
    const auto model = load_model<Scalar>(reference_model(name));
    std::vector<Token> tokens;
    for (Token i = 0; i < 30; ++i) tokens.push_back(static_cast<Token>((7 * i + 3) % model.config().n_vocab));
    const auto first = std::span<const Token>(tokens).first(20), second = std::span<const Token>(tokens).subspan(20);
    auto state = model.new_state();
    static_cast<void>(logits_of(model, first, state));
    const TemporaryFile file(".safetensors");
    save_state(state, file.path());
    const auto again = load_model<Scalar>(reference_model(name));
    auto loaded = load_state(again, file.path());
    CHECK(loaded == state);
    CHECK(logits_of(again, second, loaded) == logits_of(model, second, state));
    CHECK(loaded == state);
  };
  for (const char* const name : reference_models) {
    check(name, 0.0f);
    check(name, 0.0);
  }
}

TEST_CASE("a state goes from double to float and back") {
  const TemporaryFile file(".safetensors");
  const auto state = used_state(small_model<double>());
  save_state(state, file.path());
  const auto rounded = load_state(small_model<float>(), file.path());
  CHECK(max_abs_difference(rounded.tensor("blocks.1.att.xx"), state.tensor("blocks.1.att.xx")) < 1e-6);
  save_state(rounded, file.path());
  const auto back = load_state(small_model<double>(), file.path());
  CHECK(std::ranges::equal(back.values(), rounded.values()));
}

TEST_CASE("the file says what it is") {
  const StateFile file;
  const auto metadata = file.read().metadata();
  CHECK(metadata.at("format") == "rwkv-state");
  CHECK(metadata.at("version") == "1");
  CHECK(metadata.at("generation") == "4");
  CHECK(metadata.at("fingerprint") == small_model().new_state().layout().fingerprint());
  CHECK(state_kind(file.read()) == StateKind::own);
}

TEST_CASE("numbers that are not finite come back: they were saved") {
  const TemporaryFile file(".safetensors");
  auto state = small_model().new_state();
  state.tensor("blocks.0.att.aa")[3] = std::numeric_limits<float>::infinity();
  state.tensor("blocks.0.att.bb")[3] = std::numeric_limits<float>::quiet_NaN();
  save_state(state, file.path());
  const auto loaded = load_state(small_model(), file.path());
  CHECK(loaded.tensor("blocks.0.att.aa")[3] == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(loaded.tensor("blocks.0.att.bb")[3]));
}

TEST_CASE("a state of another model is refused with what differs") {
  const StateFile file;
  check_refused<ModelError>(small_model(1, 24), file.path(),
                            "tensor 'blocks.0.att.xx': expected real numbers of shape [24], found f32 [16]");
  check_refused<ModelError>(small_model(2), file.path(), "is a State of another model: expected fingerprint ");
  check_refused<ModelError>(small_model(2), file.path(), ". The sizes are the same, but not the weights.");
  file.set_metadata("generation", "6\n");
  check_refused<ModelError>(small_model(), file.path(),
                            "is a State of another model: expected generation 4, found generation '6\\x0a'");
  file.set_metadata("generation", std::string(119, 'x') + "\xc3\xa4");  // two bytes, the first of them the 120th
  check_refused<ModelError>(small_model(), file.path(), "found generation '" + std::string(119, 'x') + "...'");
  CHECK_THROWS_AS(static_cast<void>(load_state(small_model(), "/nonexistent")), IoError);
}

TEST_CASE("models of the same shapes refuse each other's states in memory, too") {
  const auto one = small_model(1), other = small_model(2), same = small_model(1);
  auto state = used_state(one);
  const auto before = state;
  const std::vector<Token> tokens{1};
  CHECK_THROWS_WITH_AS(static_cast<void>(logits_of(other, tokens, state)),
                       doctest::Contains("state: is of another model"), ArgumentError);
  CHECK(state == before);
  CHECK_NOTHROW(static_cast<void>(logits_of(same, tokens, state)));
}

TEST_CASE("a newer version is refused for that reason, and what is no version") {
  const StateFile file;
  file.set_metadata("version", "2");
  check_refused<UnsupportedError>(small_model(), file.path(),
                                  "the State is in a newer version of the format: expected version 1, found version 2");
  file.set_metadata("version", std::string(1000, '9'));
  check_refused<UnsupportedError>(small_model(), file.path(), "found version 99999999999999999999. It takes a newer");
  for (const std::string bad : {"", "0", "000", "-1", "1.0", "x", " 1", "-99999999999999999999"}) {
    file.set_metadata("version", bad);
    check_refused<FormatError>(small_model(), file.path(),
                               "metadata 'version': expected a version from 1 on, found '" + bad + "'");
  }
}

TEST_CASE("metadata and tensors that are missing, changed or too many are named") {
  for (const std::string key : {"version", "generation", "fingerprint"}) {
    const StateFile file;
    file.remove_metadata(key);
    check_refused<FormatError>(small_model(), file.path(), "metadata '" + key + "': is missing");
  }
  const std::string name = "blocks.1.att.bb";
  const std::vector<float> values(16);
  const std::vector<std::int32_t> integers(16);
  const StateFile file;
  file.replace("", "blocks.2.att.bb", make_tensor({16}, values));
  check_refused<ModelError>(small_model(), file.path(),
                            "tensor 'blocks.2.att.bb': States of this model have no such tensor");
  file.replace("blocks.2.att.bb", "x", make_tensor({16}, values));
  check_refused<ModelError>(small_model(), file.path(), "tensor 'x': States of this model have no such tensor");
  file.replace("x", "head_k", make_tensor({16}, values));
  check_refused<ModelError>(small_model(), file.path(), "tensor 'head_k': States of this model have no such tensor");
  file.replace(name, name, make_tensor({1, 16}, values));
  check_refused<ModelError>(small_model(), file.path(),
                            "tensor '" + name + "': expected real numbers of shape [16], found f32 [1, 16]");
  file.replace(name, name, make_tensor(DType::i32, {16}, std::span<const std::int32_t>(integers)));
  check_refused<ModelError>(small_model(), file.path(),
                            "tensor '" + name + "': expected real numbers of shape [16], found i32 [16]");
  file.replace(name, "blocks.1.att.b", make_tensor({16}, values));
  check_refused<ModelError>(small_model(), file.path(), "tensor '" + name + "': is missing");
}

TEST_CASE("numbers that are used as positions must be whole and in range") {
  StateLayout layout;
  layout.add("n_read", {1}, 0, 8);
  const LayoutOnly<double> model(layout);
  const TemporaryFile file(".safetensors");
  auto state = model.new_state();
  const auto save = [&](double value) {
    state.tensor("n_read")[0] = value;
    save_state(state, file.path());
  };
  for (const double value : {0.0, 7.0}) {
    save(value);
    CHECK(load_state(model, file.path()) == state);
  }
  for (const auto& [value, found] :
       {std::pair{8.0, "8"}, std::pair{-1.0, "-1"}, std::pair{0.5, "0.5"}, std::pair{1e300, "1e+300"},
        std::pair{infinity, "inf"}, std::pair{not_a_number, "nan"}}) {
    save(value);
    check_refused<ModelError>(
        model, file.path(),
        std::string("tensor 'n_read': expected whole numbers from 0 to 7, found ") + found + " at position 0.");
  }
}

TEST_CASE("the first of several wrong positions is told") {
  StateLayout layout;
  layout.add("tokens", {4}, 0, 8);
  const LayoutOnly<float> model(layout);
  auto state = model.new_state();
  state.tensor("tokens")[2] = 9;
  state.tensor("tokens")[3] = -1;
  const TemporaryFile file(".safetensors");
  save_state(state, file.path());
  check_refused<ModelError>(model, file.path(), "found 9 at position 2.");
}

TEST_CASE("positions and tokens that a model cannot have are refused by the models that use them") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v1/v1-fp32", "v2/v2-fp32", "spec/golden/models/v7b"}) {
    const auto model = load_model(reference_model(name));
    const auto state = used_state(model);
    const TemporaryFile file(".safetensors");
    int n_limited = 0;
    for (const StateLayout::Entry& entry : state.layout().entries()) {
      if (entry.limit == 0) continue;
      CAPTURE(name);
      CAPTURE(entry.name);
      ++n_limited;
      for (const double value : {-1.0, 0.5, static_cast<double>(entry.limit), infinity, not_a_number}) {
        auto changed = state;
        changed.tensor(entry.name).back() = static_cast<float>(value);
        save_state(changed, file.path());
        check_refused<ModelError>(model, file.path(), "tensor '" + entry.name + "': expected whole numbers from 0 to ");
      }
    }
    CHECK(n_limited == 2);
  }
}

TEST_CASE("what can be said of a State without its model") {
  const auto check = [](const std::string& path) {
    const Checkpoint file = open_checkpoint(path);
    check_state(file, state_kind(file).value());
  };
  const StateFile file;
  CHECK_NOTHROW(check(file.path()));
  file.set_metadata("version", "2");
  CHECK_THROWS_AS(check(file.path()), UnsupportedError);
  for (const std::string key : {"version", "generation", "fingerprint"}) {
    const StateFile incomplete;
    incomplete.remove_metadata(key);
    CHECK_THROWS_WITH_AS(check(incomplete.path()), doctest::Contains("is missing"), FormatError);
  }
  const StateFile integers;
  integers.replace("blocks.0.att.aa", "blocks.0.att.aa",
                   make_tensor(DType::i32, {2}, std::span<const std::int32_t>(std::vector<std::int32_t>(2))));
  CHECK_THROWS_WITH_AS(check(integers.path()), doctest::Contains("'blocks.0.att.aa': expected real numbers"),
                       ModelError);
  Checkpoint tuned("tuned");
  tuned.add("blocks.0.att.time_state", make_tensor({2, 3, 3}, std::vector<float>(18)));
  CHECK_NOTHROW(check_state(tuned, StateKind::tuned));
  tuned.add("blocks.1.att.time_state", make_tensor({2, 9}, std::vector<float>(18)));
  CHECK_THROWS_WITH_AS(check_state(tuned, StateKind::tuned), doctest::Contains("shape [H, N, N], found f32 [2, 9]"),
                       ModelError);
}

TEST_CASE("what is no state is refused with what it is") {
  const TemporaryFile file(".safetensors");
  write_safetensors(synthetic({Generation::v4, 2, 16, 16, 32, 0, 0, 20}, DType::f32, 1), file.path());
  check_refused<ModelError>(small_model(), file.path(), "is not a State: expected a file of save_state");
  check_refused<ModelError>(small_model(), file.path(), "found 42 tensors, the first of them 'emb.weight'");
  write_safetensors(Checkpoint("none"), file.path());
  check_refused<ModelError>(small_model(), file.path(), "found no tensors");
  const StateFile other;
  other.set_metadata("format", "pt");
  check_refused<ModelError>(small_model(), other.path(), "is not a State");
}

TEST_CASE("changed bytes give a state that the model goes on with, or an error") {
  Config config{Generation::v4, 2, 16, 16, 32, 0, 0, 20};
  const Model model(synthetic(config, DType::f32, 1));
  config.n_copy = 4;  // so that its States have positions and tokens
  config.n_ctx = 6;
  const Model copying(synthetic(config, DType::f32, 1), config);
  const TemporaryFile file(".safetensors");
  save_state(used_state(copying), file.path());
  const std::string bytes = read_file(file.path());
  const std::string list = rwkv_test::torch_list(to_pip_state(used_state(model)));
  constexpr std::uint64_t seed = 7;
  CAPTURE(seed);
  Random random(seed);
  int n_refused = 0, n_loaded = 0;
  for (int i = 0; i < 1000; ++i) {
    CAPTURE(i);
    std::string variant = i % 4 == 0 ? list : bytes;
    if (i % 10 == 9) variant.resize(random.next() % variant.size());
    for (int n = 0; n <= i % 4 && !variant.empty(); ++n) {
      const std::size_t range = std::min<std::size_t>(variant.size(), n % 2 == 0 ? 1500 : 100'000);
      variant[random.next() % range] = static_cast<char>(random.next() & 255u);
    }
    const TemporaryFile changed(".bad");
    write_file(changed.path(), variant);
    try {
      const Model& reader = i % 4 == 0 ? model : copying;
      auto state = load_state(reader, changed.path());
      const std::vector<Token> next{1, 2, 3};
      CHECK(logits_of(reader, next, state).size() == 3 * 20);
      ++n_loaded;
    } catch (const Error& error) {  // anything else fails the test
      REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
      ++n_refused;
    }
  }
  CHECK(n_refused > 300);
  CHECK(n_loaded > 20);
}

TEST_CASE("tuned: a file of time_state alone begins as the merged model does") {
  RWKV_NEEDS_SHARED();
  const Golden golden("testdata/models/v6.0-h32-state/v6.0-h32-state-fp32.golden.safetensors");
  const TunedParts parts(open_checkpoint(reference_model("v6.0-h32-state/v6.0-h32-state-fp32")));
  REQUIRE(parts.time_state.entries().size() == 2);
  const TemporaryFile file(".safetensors");
  write_safetensors(parts.time_state, file.path());
  CHECK(state_kind(open_checkpoint(file.path())) == StateKind::tuned);
  const Model base(parts.base);
  auto tuned = load_state(base, file.path()), plain = base.new_state();
  const auto tokens = golden.tokens();
  CHECK(max_abs_difference(logits_of(base, tokens, tuned), golden.values("logits_f64")) < 1e-4);
  CHECK(max_abs_difference(logits_of(base, tokens, plain), golden.values("logits_f64")) > 1e-2);
  const BasicModel<double> exact(parts.base);
  auto exact_state = load_state(exact, file.path());
  CHECK(max_abs_difference(logits_of(exact, tokens, exact_state), golden.values("logits_f64")) < 1e-9);
}

TEST_CASE("tuned: RWKV-7 takes time_state as it is") {
  RWKV_NEEDS_SHARED();
  const Golden golden("spec/golden/formats/v7_adapters.expect.safetensors");
  const auto model = load_model(shared_file("spec/golden/formats/v7_zip_f32.pth"));
  auto state = load_state(model, shared_file("spec/golden/formats/v7_time_state.pth"));
  CHECK(max_abs_difference(logits_of(model, golden.tokens(), state), golden.values("logits_time_state")) < 1e-4);
}

TEST_CASE("tuned: layers and shapes must be those of the model") {
  RWKV_NEEDS_SHARED();
  const TunedParts parts(open_checkpoint(reference_model("v6.0-h32-state/v6.0-h32-state-fp32")));
  const Model base(parts.base);
  const TemporaryFile file(".safetensors");
  const auto write = [&](std::initializer_list<Checkpoint::Entry> entries) {
    Checkpoint checkpoint(file.path());
    for (const auto& [name, tensor] : entries) checkpoint.add(name, tensor);
    write_safetensors(checkpoint, file.path());
  };
  const Checkpoint::Entry first = parts.time_state.entries()[0], second = parts.time_state.entries()[1];
  write({first});
  check_refused<ModelError>(base, file.path(), "tensor 'blocks.1.att.time_state': is missing");
  write({first, second, {"blocks.2.att.time_state", first.tensor}});
  check_refused<ModelError>(base, file.path(),
                            "is a tuned State of another model: expected 2 layers with time_state, found 3");
  const std::vector<float> values(4 * 16 * 16);
  write({first, {"blocks.1.att.time_state", make_tensor({4, 16, 16}, values)}});
  check_refused<ModelError>(base, file.path(),
                            "tensor 'blocks.1.att.time_state': expected real numbers of shape [2, 32, 32]");
  write({first, {"blocks.1.att.time_state", make_tensor({4 * 16 * 16}, values)}});
  check_refused<ModelError>(base, file.path(), "found f32 [1024]");
  write({first, second});
  check_refused<ModelError>(small_model(), file.path(), "expected 0 layers with time_state, found 2");
  write({first, second, {"emb.weight", first.tensor}});
  check_refused<ModelError>(base, file.path(), "is not a State");
}

TEST_CASE("pip: a list of tensors as torch.save writes it") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v4/v4-fp32", "v5.2/v5.2-fp32", "v6.0/v6.0-fp32", "v7.0/v7.0-fp32"}) {
    CAPTURE(name);
    const auto model = load_model(reference_model(name));
    const auto state = used_state(model);
    auto tensors = to_pip_state(state);
    const TemporaryFile file(".pth");
    write_file(file.path(), rwkv_test::torch_list(tensors));
    CHECK(state_kind(open_checkpoint(file.path())) == StateKind::pip);
    CHECK(load_state(model, file.path()) == state);
    const TemporaryFile other(".pth");
    tensors.pop_back();
    write_file(other.path(), rwkv_test::torch_list(tensors));
    const TemporaryFile damaged(".pth");
    std::string bytes = read_file(file.path());
    bytes[bytes.find("PK\x01\x02") + 16] ^= 1;  // in the checksum of the first record
    write_file(damaged.path(), bytes);
    check_refused<FormatError>(model, damaged.path(), "CRC-32");
    CHECK(load_state(model, damaged.path(), {.verify_checksums = false}) == state);
    check_refused<ModelError>(model, other.path(),
                              "is of another model: expected " + std::to_string(tensors.size() + 1) +
                                  " tensors, found " + std::to_string(tensors.size()));
  }
}

TEST_CASE("pip: a model that the Python package does not run is refused with the path and the reason") {
  RWKV_NEEDS_SHARED();
  const auto v4 = load_model(reference_model("v4/v4-fp32"));
  const TemporaryFile file(".pth");
  write_file(file.path(), rwkv_test::torch_list(to_pip_state(used_state(v4))));
  check_refused<UnsupportedError>(load_model(reference_model("v2-ffnPre/v2-ffnPre-fp32")), file.path(), "found RWKV-2");
  Config config{Generation::v4, 2, 16, 16, 32, 0, 0, 20};
  config.has_ffn_pre = true;
  check_refused<UnsupportedError>(LayoutOnly<float>(config), file.path(),
                                  "found RWKV-4 with a state tensor 'blocks.0.ffnPre.xx'");
}

TEST_SUITE_END();
