// SPDX-License-Identifier: MIT
#include "rwkv/session/session_file.hpp"

#include <limits>

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/load.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::fixture;
using rwkv_test::max_abs_difference;
using rwkv_test::read_file;
using rwkv_test::TemporaryFile;
using rwkv_test::write_file;

namespace {

const Tokenizer bytes{ByteTokenizer()};

Model noise(std::uint64_t seed = 7) {
  return Model(synthetic(rwkv_test::small_byte_model(Generation::v7), DType::f32, seed));
}

/// A chat with branches, in a workspace of its own.
struct Chat {
  Chat() {
    session.notes() = {{"system", "Be nice.\nAlways."}, {"", "empty key"}};
    session.read("Hello, ");
    session.generate({.max_tokens = 30});
    branch = session.place();
    session.rewind(7);
    session.read("world");
    middle = session.place();
    session.generate({.max_tokens = 20});
  }
  Workspace workspace{{1}};
  Session session{noise(), bytes, workspace, {.interval = 8}, {.temperature = 0}};
  TextPlace branch, middle;
};

Session load(const std::string& path, Workspace& workspace, const SessionOptions& options = {.interval = 8}) {
  return load_session(noise(), bytes, workspace, path, options, {.temperature = 0});
}

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

Checkpoint read(const std::string& path) { return read_safetensors(std::make_shared<const MappedFile>(path)); }

template <class Error>
void check_refused(const std::string& path, const std::string& phrase) {
  CAPTURE(phrase);
  Workspace workspace({1});
  CHECK_THROWS_WITH_AS(static_cast<void>(load(path, workspace)), doctest::Contains(phrase.c_str()), Error);
  CHECK_THROWS_WITH_AS(static_cast<void>(load(path, workspace)), doctest::Contains(path.c_str()), Error);
}

/// log p of all tokens.
std::vector<double> log_probabilities(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  std::vector<double> result;
  for (const float logit : logits) result.push_back(logit - largest - std::log(sum));
  return result;
}

}  // namespace

TEST_SUITE_BEGIN("session/session_file");

TEST_CASE("a loaded session is the one that was saved, with all branches, on any number of threads") {
  Chat chat;
  const TemporaryFile file(".session");
  save_session(chat.session, file.path());
  for (const int n_threads : {1, 3}) {
    Workspace workspace({n_threads});
    Session loaded = load(file.path(), workspace);
    CHECK(loaded.state() == chat.session.state());
    CHECK(copy(loaded.logits()) == copy(chat.session.logits()));
    CHECK(loaded.tokens() == chat.session.tokens());
    CHECK(loaded.place() == chat.session.place());
    CHECK(loaded.notes() == chat.session.notes());
    CHECK(loaded.n_read() == 0);
    // Undo, and another branch: the checkpoints are in the file.
    Chat original;
    loaded.go_to(chat.middle);
    original.session.go_to(original.middle);
    CHECK(loaded.state() == original.session.state());
    CHECK(loaded.generate({.max_tokens = 15}).text == original.session.generate({.max_tokens = 15}).text);
    loaded.go_to(chat.branch);
    original.session.go_to(original.branch);
    CHECK(loaded.state() == original.session.state());
    CHECK(loaded.n_read() == 15);
    CHECK(loaded.generate({.max_tokens = 15}).text == original.session.generate({.max_tokens = 15}).text);
  }
}

TEST_CASE("what is drawn at random goes on as it would have, unless there is another seed") {
  const SamplerOptions sampling{.temperature = 1};
  Workspace workspace({1});
  Session session(noise(), bytes, workspace, {.interval = 8}, sampling, 5);
  session.read("Hello, ");
  session.generate({.max_tokens = 30});
  const TemporaryFile file(".session");
  save_session(session, file.path());
  const std::string text = session.generate({.max_tokens = 30}).text;
  const auto go_on = [&](std::optional<std::uint64_t> seed) {
    return load_session(noise(), bytes, workspace, file.path(), {}, sampling, seed).generate({.max_tokens = 30}).text;
  };
  CHECK(go_on({}) == text);
  CHECK(go_on(6) != text);
  CHECK(go_on(6) == go_on(6));
}

TEST_CASE("saving again writes the same bytes") {
  Chat chat;
  const TemporaryFile first(".session"), second(".session");
  save_session(chat.session, first.path());
  Workspace workspace({1});
  const Session loaded = load(first.path(), workspace);
  save_session(loaded, second.path());
  Session twice = load(second.path(), workspace);
  CHECK(twice.state() == loaded.state());
  CHECK(twice.n_checkpoints() == loaded.n_checkpoints());
  save_session(twice, first.path());
  CHECK(read_file(first.path()) == read_file(second.path()));
}

TEST_CASE("without checkpoints going back reads from the beginning, to the same text") {
  Chat chat;
  const TemporaryFile file(".session"), small(".session");
  save_session(chat.session, file.path());
  save_session(chat.session, small.path(), {.checkpoints = false});
  CHECK(4 * read_file(small.path()).size() < read_file(file.path()).size());
  Workspace workspace({1});
  Session loaded = load(small.path(), workspace);
  CHECK(loaded.state() == chat.session.state());
  loaded.go_to(chat.branch);
  chat.session.go_to(chat.branch);
  CHECK(loaded.n_read() == chat.branch.position);
  CHECK(loaded.text() == chat.session.text());
  CHECK(max_abs_difference(loaded.logits(), chat.session.logits()) < 1e-4);
}

TEST_CASE("less room keeps fewer checkpoints") {
  Chat chat;
  const TemporaryFile file(".session");
  save_session(chat.session, file.path());
  Workspace workspace({1});
  for (const Index n : {0, 1, 3}) {
    Session loaded = load(file.path(), workspace, {.interval = 8, .max_bytes = n * chat.session.checkpoint_bytes()});
    CHECK(loaded.n_checkpoints() == n);
    CHECK(loaded.state() == chat.session.state());
    loaded.go_to(chat.branch);
    CHECK(loaded.size() == chat.branch.position);
  }
}

TEST_CASE("a session without text, and one that began with a State, are saved, too") {
  Workspace workspace({1});
  Session session(noise(), bytes, workspace);
  const TemporaryFile file(".session");
  save_session(session, file.path());
  Session loaded = load(file.path(), workspace);
  CHECK(loaded.size() == 0);
  CHECK(loaded.logits().empty());
  CHECK(read(file.path()).find("initial") == nullptr);

  Chat chat;
  session.begin_from(chat.session.state());
  session.read("abc");
  save_session(session, file.path());
  Session again = load(file.path(), workspace);
  again.rewind(0);
  CHECK(again.state() == chat.session.state());
  again.read("abc");
  CHECK(again.state() == session.state());
}

TEST_CASE("every generation and every form is saved and goes on") {
  for (Config config : rwkv_test::small_models()) {
    config.n_vocab = 256;
    const Model model(synthetic(config, DType::f32, 3));
    for (const StateForm form : {StateForm::f32, StateForm::f16, StateForm::q8}) {
      CAPTURE(name(config.generation));
      CAPTURE(static_cast<int>(form));
      Workspace workspace({1});
      Session session(model, bytes, workspace, {.interval = 4}, {.temperature = 0});
      session.read("abcdef");
      const TemporaryFile file(".session");
      save_session(session, file.path(), {.form = form});
      Session loaded = load_session(model, bytes, workspace, file.path(), {.interval = 4}, {.temperature = 0});
      if (form == StateForm::f32) CHECK(loaded.state() == session.state());
      session.read("gh");
      loaded.read("gh");
      double largest = 0;
      for (const float logit : session.logits()) largest = std::max(largest, std::abs(static_cast<double>(logit)));
      // q8 rounds each number to 1/254 of the largest in its row, f16 to 1/2048 of itself; several layers add up.
      const double bound = form == StateForm::f32 ? 0 : form == StateForm::f16 ? 0.01 : 0.1;
      CHECK(max_abs_difference(loaded.logits(), session.logits()) <= bound * largest);
    }
  }
}

TEST_CASE("what the short forms change of what the demo model says") {
  const std::string path = fixture("../../examples/models/fairy-tales-v7.safetensors");
  const Model model = load_model(path);
  const Tokenizer tokenizer = tokenizer_for(model, path);
  const std::vector<Token> tale = tokenizer.encode(read_file(fixture("fairy-tales.txt")));
  constexpr std::size_t n_prompt = 1500, n_after = 300;
  Workspace workspace({1});
  Session exact(model, tokenizer, workspace);
  exact.read(std::span(tale).first(n_prompt));
  const double bounds[] = {0, 1e-8, 1e-5};  // ten times what was measured
  for (const StateForm form : {StateForm::f32, StateForm::f16, StateForm::q8}) {
    const TemporaryFile file(".session");
    save_session(exact, file.path(), {.form = form, .checkpoints = false});
    const Checkpoint stored = read(file.path());
    Index n_bytes = 0;
    for (const char* const tensor : {"vectors", "matrices", "scales"}) {
      n_bytes += stored.find(tensor) == nullptr ? 0 : stored.find(tensor)->n_bytes();
    }
    State full = exact.state(), restored = load_session(model, tokenizer, workspace, file.path()).state();
    double divergence = 0;
    int n_other = 0;
    for (std::size_t i = n_prompt; i < n_prompt + n_after; ++i) {
      const auto p = log_probabilities(model.forward(std::span(tale).subspan(i, 1), full, workspace));
      const auto q = log_probabilities(model.forward(std::span(tale).subspan(i, 1), restored, workspace));
      for (std::size_t k = 0; k < p.size(); ++k) divergence += std::exp(p[k]) * (p[k] - q[k]) / n_after;
      n_other += std::ranges::max_element(p) - p.begin() != std::ranges::max_element(q) - q.begin() ? 1 : 0;
    }
    const double share = static_cast<double>(n_bytes) / static_cast<double>(exact.state().values().size_bytes());
    MESSAGE("form " << static_cast<int>(form) << ": " << share << " of the bytes, KL divergence " << divergence << ", "
                    << n_other << " of " << n_after << " most likely tokens are others");
    CHECK(divergence <= bounds[static_cast<int>(form)]);
  }
}

TEST_CASE("numbers beyond f16 become its largest, and what is not finite needs f32") {
  Workspace workspace({1});
  Session session(noise(), bytes, workspace);
  State state = noise().new_state();
  const TemporaryFile file(".session");
  for (const auto& entry : state.layout().entries()) {
    if (entry.shape.rank() == 3) state.tensor(entry.name)[0] = 1e30f;
  }
  session.begin_from(state);
  save_session(session, file.path(), {.form = StateForm::f16});
  CHECK(max_abs_difference(load(file.path(), workspace).state().values(), session.state().values()) > 1e29);
  state.tensor("blocks.0.att.S")[0] = std::numeric_limits<float>::infinity();
  session.begin_from(state);
  const std::string before = read_file(file.path());
  CHECK_THROWS_WITH_AS(save_session(session, file.path(), {.form = StateForm::q8}), doctest::Contains("not finite"),
                       UnsupportedError);
  CHECK(read_file(file.path()) == before);
  save_session(session, file.path());
  CHECK(load(file.path(), workspace).state() == session.state());
}

TEST_CASE("logits that are not finite need f32, too") {
  const Model loud(synthetic(rwkv_test::small_byte_model(Generation::v7), DType::f32, 7).transformed([](auto entry) {
    if (entry.name == "head.weight") {
      const std::vector<float> values(static_cast<std::size_t>(entry.tensor.n_elements()), 3e38f);
      entry.tensor = make_tensor(entry.tensor.shape, values);
    }
    return entry;
  }));
  Workspace workspace({1});
  Session session(loud, bytes, workspace);
  session.read("x");
  REQUIRE_FALSE(std::ranges::all_of(session.logits(), [](float x) { return std::isfinite(x); }));
  const TemporaryFile file(".session");
  for (const StateForm form : {StateForm::f16, StateForm::q8}) {
    CHECK_THROWS_WITH_AS(save_session(session, file.path(), {.form = form}),
                         "logits: has a number that is not finite. The form f32 keeps it.", UnsupportedError);
  }
  CHECK_FALSE(std::filesystem::exists(file.path()));
  CHECK_NOTHROW(save_session(session, file.path()));
}

TEST_CASE("files of other models, other tokenizers and other formats are refused") {
  Chat chat;
  const TemporaryFile file(".session");
  save_session(chat.session, file.path());
  Workspace workspace({1});
  const auto load_with = [&](const Model& model, const Tokenizer& tokenizer) {
    return load_session(model, tokenizer, workspace, file.path());
  };
  CHECK_THROWS_WITH_AS(static_cast<void>(load_with(noise(8), bytes)), doctest::Contains("fingerprint"), ModelError);
  const Config other = rwkv_test::small_byte_model(Generation::v4);
  CHECK_THROWS_WITH_AS(static_cast<void>(load_with(Model(synthetic(other, DType::f32, 1)), bytes)),
                       doctest::Contains("generation"), ModelError);

  const auto change = [&](const std::string& key, const std::string& value) {
    save_session(chat.session, file.path());
    Checkpoint stored = read(file.path());
    stored.metadata()[key] = value;
    write_safetensors(stored, file.path());
  };
  change("version", "2");
  check_refused<UnsupportedError>(file.path(), "newer version");
  change("version", "x");
  check_refused<FormatError>(file.path(), "version");
  change("tokenizer", "World 65530");
  check_refused<ModelError>(file.path(), "tokenizer bytes 256");
  change("interval", "0");
  check_refused<FormatError>(file.path(), "interval");
  change("random", std::string(64, '0'));
  check_refused<FormatError>(file.path(), "random");
  change("random", std::string(63, '1') + "x");
  check_refused<FormatError>(file.path(), "random");
  change("format", "rwkv-state");
  check_refused<FormatError>(file.path(), "is not a session");
  save_state(chat.session.state(), file.path());
  check_refused<FormatError>(file.path(), "is not a session");
  write_file(file.path(), "");
  check_refused<FormatError>(file.path(), "");
  CHECK_THROWS_AS(static_cast<void>(load("/nonexistent.session", workspace)), IoError);
  CHECK_THROWS_AS(save_session(chat.session, "/nonexistent/x.session"), IoError);
}

TEST_CASE("tensors that make no session are refused by name") {
  Chat chat;
  const TemporaryFile file(".session");
  const auto replace = [&](const std::string& removed, const std::optional<TensorView>& tensor) {
    save_session(chat.session, file.path());
    const Checkpoint before = read(file.path());
    Checkpoint changed(file.path());
    changed.metadata() = before.metadata();
    for (const auto& [name, stored] : before.entries()) {
      if (name != removed) changed.add(name, stored);
    }
    if (tensor) changed.add(removed, *tensor);
    write_safetensors(changed, file.path());
  };
  for (const char* const name : {"lines", "tokens", "places", "logits", "vectors", "matrices"}) {
    replace(name, std::nullopt);
    check_refused<FormatError>(file.path(), std::string("'") + name + "': is missing");
    replace(name, make_tensor({3, 3}, std::span<const float>(std::vector<float>(9))));
    CHECK_THROWS_AS(static_cast<void>(load(file.path(), chat.workspace)), Error);
  }
  const auto lines = [](const std::vector<std::int64_t>& values) {
    return make_tensor<std::int64_t>(DType::i64, {std::ssize(values) / 4, 4}, values);
  };
  const auto n = static_cast<std::int64_t>(chat.session.size());
  for (const auto& bad : std::vector<std::vector<std::int64_t>>{{},
                                                                {1, -1, 0, n},
                                                                {0, 0, 0, n},
                                                                {0, -1, 3, n},
                                                                {0, -1, 0, -1},
                                                                {0, -1, 0, 1'000'000},
                                                                {0, -1, 0, 5, 1, 7, 0, 4},
                                                                {0, -1, 0, 5, 1, 0, 6, 4},
                                                                {0, -1, 0, 5, 1, 0, -6, 4},
                                                                {0, -1, 0, 5, 0, 0, 0, 4},
                                                                {0, -1, 0, n, 1, 0, 3, 0},
                                                                {0, -1, 0, 5}}) {
    replace("lines", lines(bad));
    check_refused<FormatError>(file.path(), "line");
  }
  replace("tokens", make_tensor<std::int32_t>(DType::i32, {62, 1}, std::vector<std::int32_t>(62, 256)));
  check_refused<FormatError>(file.path(), "outside the vocabulary");
}

TEST_CASE("a damaged file is an error or a session, never a crash") {
  Chat chat;
  const TemporaryFile file(".session");
  save_session(chat.session, file.path(), {.form = StateForm::q8});
  const std::string whole = read_file(file.path());
  Random random(1);
  int n_refused = 0;
  constexpr int n_trials = 400;
  for (int trial = 0; trial < n_trials; ++trial) {
    std::string bad = whole;
    if (trial % 4 == 0) {
      bad.resize(random.next() % whole.size());
    } else {  // mostly in the header and in the numbers of the tree, which come first
      const std::size_t n = trial % 2 == 0 ? whole.size() : std::min<std::size_t>(whole.size(), 3000);
      for (int k = 0; k < 3; ++k) bad[random.next() % n] = static_cast<char>(random.next());
    }
    write_file(file.path(), bad);
    Workspace workspace({1});
    try {
      Session loaded = load(file.path(), workspace);
      loaded.rewind(loaded.size() / 2);
      loaded.read("x");
    } catch (const Error&) {
      ++n_refused;
    }
  }
  CHECK(n_refused > n_trials / 4);
}

TEST_SUITE_END();
