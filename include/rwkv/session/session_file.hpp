// SPDX-License-Identifier: MIT
// Sessions in files.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/io/safetensors.hpp"
#include "rwkv/session.hpp"
#include "rwkv/state/state_file.hpp"
#include "rwkv/state/state_form.hpp"

RWKV_NAMESPACE_BEGIN

/// What a session file holds, and how exactly.
struct SessionFileOptions {
  /// What the short forms change, with the demo model (RWKV-7 of 8 MB, heads of 32; saved and loaded after a prompt of
  /// 1500 tokens, then 300 more read; tests/session/session_file_test.cpp measures it):
  ///
  /// |     | bytes of a State | KL divergence, mean | the most likely token is another |
  /// | --- | ---------------- | ------------------- | -------------------------------- |
  /// | f32 | 1                | 0                   | never                            |
  /// | f16 | 0.52             | 1e-9                | never                            |
  /// | q8  | 0.29             | 1e-6                | never                            |
  StateForm form = StateForm::f32;
  bool checkpoints = true;  ///< without them the file is small, and going back reads from the beginning
};

/// Writes a session: the tokens of all branches, the present State, the checkpoints, the notes, the random numbers to
/// come, and which model they are of. How tokens are drawn is not part of it. The file is a safetensors, and appears
/// when it is complete; writing takes as much memory again as what is written. Its metadata are
///
///   format "rwkv-session", version "1", generation, fingerprint, tokenizer, interval; note.<key>: the notes;
///   random: the words of Random, hexadecimal
///
/// and its tensors, with L lines of the TokenTree and 1 + K States, the present one first:
///
///   lines     I64 [L, 4]     id, parent, begin, number of own tokens
///   tokens    I32 [n, 1]     those of all lines
///   places    I64 [1+K, 3]   line, position, whether it is a regular checkpoint
///   logits    F32, or in the short forms F16 [1+K, n_vocab]
///   vectors, matrices, scales: the States, see PackedStates
///   initial   F32 [1, ...]   the State behind which all texts begin, where that is not the model's
///
/// Throws IoError, and UnsupportedError if the form is short and a number that it shortens, of a matrix or of the
/// logits, is not finite; the file is then as it was.
inline void save_session(const Session& session, const std::string& path, const SessionFileOptions& options = {});

/// Reads it, for the same model on any machine and with any number of threads: in form f32 the State and the logits are
/// those of then, bit for bit, and so are the random numbers to come, unless there is a seed for others. Of the
/// checkpoints, as many are kept as `options` have room for.
///
/// Throws IoError; FormatError if the file is damaged or holds no session; ModelError if it is of another model or
/// tokenizer; UnsupportedError for newer versions of the format; and as the constructor of Session.
[[nodiscard]] inline Session load_session(Model model, Tokenizer tokenizer, Workspace& workspace,
                                          const std::string& path, const SessionOptions& options = {},
                                          const SamplerOptions& sampling = {}, std::optional<std::uint64_t> seed = {});

namespace detail {
inline constexpr std::string_view session_format = "rwkv-session";
}

/// Whether a file, by its metadata, is one of a session.
[[nodiscard]] inline bool is_session(const Checkpoint& file) {
  const auto format = file.metadata().find("format");
  return format != file.metadata().end() && format->second == detail::session_format;
}

namespace detail {

/// Knows the inside of a Session, and its file.
class SessionFile {
public:
  SessionFile(Session& session, const Checkpoint& file) : session_(session), file_(file) {}

  [[nodiscard]] static Checkpoint pack(const Session& session, const std::string& path,
                                       const SessionFileOptions& options);
  /// Fills a new Session. It is good for nothing after an exception.
  void unpack();

private:
  static constexpr std::string_view note = "note.";
  static constexpr Index largest_number = Index{1} << 40;

  static std::string tokenizer_name(const Session& session) {
    return std::string(session.tokenizer().kind()) + " " + std::to_string(session.tokenizer().n_vocab());
  }
  static void pack_tree(const TokenTree& tree, Checkpoint& file);

  void check_model() const;
  [[nodiscard]] TokenTree read_tree() const;
  [[nodiscard]] Index read_interval() const;
  [[nodiscard]] static std::string random_text(const Random& random);
  [[nodiscard]] Random read_random() const;
  void read_states();
  [[nodiscard]] std::vector<float> read_logits(Index i, TextPlace place) const;

  /// The numbers of a tensor [n, n_cols], any n. Throws FormatError unless it is there, of this type and shape.
  template <class T>
  [[nodiscard]] std::vector<T> numbers(const char* name, DType dtype, Index n_cols) const {
    const TensorView* const tensor = file_.find(name);
    if (tensor == nullptr) fail(tensor_item(name), "is missing");
    const bool is_fine = tensor->dtype == dtype && tensor->shape.rank() == 2 && tensor->shape[1] == n_cols;
    if (!is_fine) fail(tensor_item(name), "has not the type or the shape that it has in sessions");
    std::vector<T> values(static_cast<std::size_t>(tensor->n_elements()));
    if (!values.empty()) std::memcpy(values.data(), tensor->data, values.size() * sizeof(T));
    return values;
  }
  [[noreturn]] void fail(const std::string& item, std::string_view problem) const {
    throw FormatError({.path = file_.path(), .item = item, .problem = problem});
  }

  Session& session_;
  const Checkpoint& file_;
};

inline Checkpoint SessionFile::pack(const Session& session, const std::string& path,
                                    const SessionFileOptions& options) {
  const StateLayout& layout = session.model().state_layout();
  Checkpoint file(path);
  file.metadata() = {{"format", std::string(session_format)},
                     {"version", std::to_string(state_version)},
                     {"generation", std::string(name(layout.generation()))},
                     {"fingerprint", layout.fingerprint()},
                     {"tokenizer", tokenizer_name(session)},
                     {"interval", std::to_string(session.interval())},
                     {"random", random_text(session.generator_.random())}};
  for (const auto& [key, text] : session.notes_) file.metadata()[std::string(note) + key] = text;
  pack_tree(session.tree_, file);

  std::vector<std::int64_t> places;
  std::vector<float> logits;
  PackedStates states(options.form);
  const auto n_vocab = static_cast<std::size_t>(session.model().config().n_vocab);
  const auto add = [&](TextPlace place, bool is_regular, const State& state, std::span<const float> row) {
    places.insert(places.end(), {place.line, place.position, is_regular ? 1 : 0});
    states.add(state);
    logits.insert(logits.end(), row.begin(), row.end());
    logits.resize(places.size() / 3 * n_vocab);  // before the first token there are none
  };
  add(session.place_, false, session.state(), session.logits());
  std::vector<const SessionCheckpoint*> checkpoints;
  for (const SessionCheckpoint& each : session.checkpoints_.all()) checkpoints.push_back(&each);
  if (!options.checkpoints) checkpoints.clear();
  std::ranges::sort(checkpoints, {}, [](const auto* each) { return each->last_used; });  // they age in that order
  for (const SessionCheckpoint* const each : checkpoints) add(each->place, each->is_regular, each->state, each->logits);

  const Index n = std::ssize(places) / 3;
  file.add("places", make_tensor<std::int64_t>(DType::i64, {n, 3}, places));
  if (options.form == StateForm::f32) {
    file.add("logits", make_tensor({n, std::ssize(logits) / n}, std::span<const float>(logits)));
  } else {
    check_finite("logits", logits);
    std::vector<std::uint16_t> halves(logits.size());
    std::ranges::transform(logits, halves.begin(), to_finite_f16);
    file.add("logits", make_tensor<std::uint16_t>(DType::f16, {n, std::ssize(logits) / n}, halves));
  }
  states.add_to(file, layout);
  if (!(session.initial_ == session.model().new_state())) {
    file.add("initial", make_tensor({1, layout.size()}, session.initial_.values()));
  }
  return file;
}

inline void SessionFile::pack_tree(const TokenTree& tree, Checkpoint& file) {
  std::vector<std::int64_t> lines;
  std::vector<std::int32_t> tokens;
  for (const TokenTree::Line& line : tree.lines()) {
    lines.insert(lines.end(), {line.id, line.parent, line.begin, std::ssize(line.tokens)});
    tokens.insert(tokens.end(), line.tokens.begin(), line.tokens.end());
  }
  file.add("lines", make_tensor<std::int64_t>(DType::i64, {std::ssize(tree.lines()), 4}, lines));
  file.add("tokens", make_tensor<std::int32_t>(DType::i32, {std::ssize(tokens), 1}, tokens));
}

inline void SessionFile::unpack() {
  check_model();
  session_.tree_ = read_tree();
  session_.checkpoints_.set_interval(std::max(session_.interval(), read_interval()), {});
  for (const auto& [key, text] : file_.metadata()) {
    if (key.starts_with(note)) session_.notes_[key.substr(note.size())] = text;
  }
  if (file_.find("initial") != nullptr) {
    const auto values = numbers<float>("initial", DType::f32, session_.model().state_layout().size());
    if (values.size() != session_.initial_.values().size()) fail(tensor_item("initial"), "is not one State");
    for (const StateLayout::Entry& entry : session_.initial_.layout().entries()) {
      const auto from = std::span(values).subspan(static_cast<std::size_t>(entry.offset));
      const auto to = session_.initial_.tensor(entry.name);
      const TensorView stored{DType::f32, entry.shape, std::as_bytes(from).data(), nullptr};
      if (!to.empty()) set_state_tensor(session_.initial_, entry, stored, {file_.path(), "initial"});
    }
  }
  read_states();
  session_.generator_.set_random(read_random());
}

inline void SessionFile::check_model() const {
  if (!is_session(file_)) {
    throw FormatError({.path = file_.path(), .problem = "is not a session", .found = summary(file_)});
  }
  check_state_version(file_);
  const StateLayout& layout = session_.model().state_layout();
  check_state_model(file_, "generation", std::string(name(layout.generation())), "");
  check_state_model(file_, "fingerprint", layout.fingerprint(), "");
  check_state_model(file_, "tokenizer", tokenizer_name(session_), "");
}

inline TokenTree SessionFile::read_tree() const {
  const auto numbers_of_lines = numbers<std::int64_t>("lines", DType::i64, 4);
  const auto tokens = numbers<std::int32_t>("tokens", DType::i32, 1);
  const auto is_foreign = [n_vocab = session_.model().config().n_vocab](Token t) { return t < 0 || t >= n_vocab; };
  if (std::ranges::any_of(tokens, is_foreign)) fail(tensor_item("tokens"), "has one outside the vocabulary");
  std::vector<TokenTree::Line> lines;
  std::span<const std::int32_t> rest(tokens);
  for (std::size_t i = 0; i < numbers_of_lines.size(); i += 4) {
    const std::span<const std::int64_t> row = std::span(numbers_of_lines).subspan(i, 4);
    TokenTree::Line line{row[0], row[1], row[2]};
    const auto parent = std::ranges::lower_bound(lines, line.parent, {}, &TokenTree::Line::id);
    const bool is_first = lines.empty() && line.id == 0 && line.parent == -1 && line.begin == 0;
    const bool is_branch = !lines.empty() && line.id > lines.back().id && parent != lines.end() &&
                           parent->id == line.parent && line.begin >= 0 && line.begin <= parent->end();
    const bool has_tokens = row[3] >= (is_first ? 0 : 1) && row[3] <= std::ssize(rest);
    if (!(is_first || is_branch) || !has_tokens || line.id > largest_number)
      fail("line " + std::to_string(lines.size()), "makes no tree");
    const auto own = rest.first(static_cast<std::size_t>(row[3]));
    line.tokens.assign(own.begin(), own.end());
    rest = rest.subspan(own.size());
    lines.push_back(std::move(line));
  }
  if (lines.empty() || !rest.empty()) fail(tensor_item("lines"), "does not say where all tokens are");
  return TokenTree(std::move(lines));
}

inline Index SessionFile::read_interval() const {
  const std::string& text = state_metadata(file_, "interval");
  Index interval = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), interval);
  if (error == std::errc() && end == text.data() + text.size() && interval > 0 && interval <= largest_number)
    return interval;
  fail("metadata 'interval'", "is no number of tokens");
}

inline std::string SessionFile::random_text(const Random& random) {
  std::string text;
  for (const std::uint64_t word : random.words()) {
    for (int shift = 60; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
  }
  return text;
}

inline Random SessionFile::read_random() const {
  constexpr std::size_t n_digits = 16;  // of a word
  const std::string& text = state_metadata(file_, "random");
  std::array<std::uint64_t, 4> words{};
  bool is_fine = text.size() == words.size() * n_digits;
  for (std::size_t i = 0; is_fine && i < words.size(); ++i) {
    const char* const begin = text.data() + i * n_digits;
    is_fine = std::from_chars(begin, begin + n_digits, words[i], 16).ptr == begin + n_digits;
  }
  if (!is_fine || words == std::array<std::uint64_t, 4>{})
    fail("metadata 'random'", "is not the state of random numbers");
  return Random(words);
}

inline void SessionFile::read_states() {
  const auto places = numbers<std::int64_t>("places", DType::i64, 3);
  const Index n = std::ssize(places) / 3;
  if (n == 0) fail(tensor_item("places"), "has no present State");
  const StoredStates states(file_, session_.model().state_layout(), n);
  for (Index i = 0; i < n; ++i) {
    const auto* const row = places.data() + 3 * i;
    const TextPlace place{row[0], row[1]};
    if (!session_.tree_.contains(place) || (i > 0 && place.position == 0)) {
      fail("place " + std::to_string(i), "is not in the text");
    }
    if (i == 0) {
      State present = session_.model().new_state();
      states.read(0, present);
      session_.generator_.set_state(std::move(present), read_logits(0, place));
      session_.place_ = session_.tree_.normalised(place);
      session_.checkpoints_.arrive(session_.place_);
      continue;
    }
    SessionCheckpoint* const checkpoint = session_.checkpoints_.add(session_.place_, session_.state(), session_.tree_);
    if (checkpoint == nullptr) return;
    checkpoint->place = session_.tree_.normalised(place);
    checkpoint->is_regular = row[2] != 0;
    checkpoint->logits = read_logits(i, place);
    states.read(i, checkpoint->state);
  }
  session_.take_checkpoint(true);
}

inline std::vector<float> SessionFile::read_logits(Index i, TextPlace place) const {
  const Index n_vocab = session_.model().config().n_vocab;
  const TensorView* const logits = file_.find("logits");
  if (logits == nullptr) fail(tensor_item("logits"), "is missing");
  const bool is_real = logits->dtype == DType::f32 || logits->dtype == DType::f16;
  const bool has_shape = logits->shape.rank() == 2 && logits->shape[1] == n_vocab && i < logits->shape[0];
  if (!is_real || !has_shape) fail(tensor_item("logits"), "has not the type or the shape that it has in sessions");
  std::vector<float> row;
  if (place.position == 0) return row;
  for (Index k = 0; k < n_vocab; ++k) row.push_back(read_element<float>(logits->dtype, logits->data, i * n_vocab + k));
  return row;
}

}  // namespace detail

inline void save_session(const Session& session, const std::string& path, const SessionFileOptions& options) {
  write_safetensors(detail::SessionFile::pack(session, path, options), path);
}

inline Session load_session(Model model, Tokenizer tokenizer, Workspace& workspace, const std::string& path,
                            const SessionOptions& options, const SamplerOptions& sampling,
                            std::optional<std::uint64_t> seed) {
  Session session(std::move(model), std::move(tokenizer), workspace, options, sampling, seed.value_or(0));
  const Checkpoint file = read_safetensors(std::make_shared<const MappedFile>(path));
  detail::SessionFile(session, file).unpack();
  if (seed) session.set_sampling(sampling, *seed);
  return session;
}

RWKV_NAMESPACE_END
