// SPDX-License-Identifier: MIT
// A text that one can go back in: undo, edit, retry and branch without reading everything again.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/model.hpp"
#include "rwkv/session/session_checkpoints.hpp"
#include "rwkv/session/token_tree.hpp"
#include "rwkv/text/generator.hpp"
#include "rwkv/text/sampler.hpp"
#include "rwkv/text/tokenizer.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {
class SessionFile;
}

/// How much a session keeps.
struct SessionOptions {
  Index interval = 256;                ///< > 0; tokens between the regular checkpoints
  Index max_bytes = Index{256} << 20;  ///< >= 0; memory for checkpoints
  Index max_tokens = Index{4} << 20;   ///< >= 0; tokens of all branches, of 4 bytes each; the present text always stays
};

/// A Generator with a memory: it keeps checkpoints (copies of the State) and the tokens of every text that it had.
///
///   Session session(model, tokenizer, workspace);
///   session.read("User: Hello!\n\nAssistant:");
///   const TextPlace question = session.place();
///   session.generate({.stops = {"\n\n"}});
///   session.go_to(question);                      // undo, or retry: generate again
///   session.read(" Good morning!");               // another branch; the answer before is still there to go to
///
/// Checkpoints are taken whenever a read() or generate() ends, and every interval() tokens between. To go to a place
/// means to copy the nearest checkpoint before it and to read what is missing:
///
/// | going to                                          | reads                                                    |
/// | ------------------------------------------------- | -------------------------------------------------------- |
/// | where a read() or generate() ended, while kept    | nothing; State and logits are those of then, bit for bit |
/// | any other place of the present text               | fewer than interval() tokens, as one prompt              |
/// | a branch that was left for long                   | what its lost checkpoints covered; then as above         |
///
/// What is read again is read in other pieces than the first time, so that sums may round differently; see
/// Model::forward. (A generated text may put a regular checkpoint a few tokens late: in the middle of a character, or
/// of what could become a stop, nothing is taken; with GenerateOptions::lookup it has none but at its end.)
///
/// Memory: as many checkpoints of checkpoint_bytes() as max_bytes has room for, see SessionCheckpoints: where the
/// regular ones of the present text would take more than half of it, interval() doubles. Of branches beyond max_tokens,
/// the one used longest ago is forgotten first.
///
/// A value: a copy is independent. One thread at a time; the Workspace is used during calls only.
class Session {
public:
  /// Throws ArgumentError for an option that makes no sense, and as Generator.
  Session(Model model, Tokenizer tokenizer, Workspace& workspace, const SessionOptions& options = {},
          const SamplerOptions& sampling = {}, std::uint64_t seed = 0);

  /// Reads a text behind the present one. What was read there before, on any branch, is copied from its last checkpoint
  /// and not read again. As with every tokenizer, encoding in pieces is not encoding at once.
  /// Throws ArgumentError, and reads nothing, if it holds a token outside the model's vocabulary.
  void read(std::string_view text);
  void read(std::span<const Token> tokens);
  /// Calls on_progress(tokens done so far) after each piece, and stops when it returns false. Returns whether
  /// everything was read.
  bool read(std::span<const Token> tokens, FunctionRef<bool(Index)> on_progress);

  /// Generates behind the present text; see Generator::generate. After an exception, too, the session has the text that
  /// the State has read.
  Generated generate(const GenerateOptions& options, FunctionRef<bool(std::string_view)> on_text);
  Generated generate(const GenerateOptions& options = {});

  /// Begins again: the same prompt as before costs what going to its end costs.
  void open(std::string_view text);
  void open(std::span<const Token> tokens);

  /// The present text, to come back to.
  [[nodiscard]] TextPlace place() const noexcept { return place_; }
  /// Whether the text of a place is still known.
  [[nodiscard]] bool contains(TextPlace place) const noexcept { return tree_.contains(place); }
  /// Goes to an earlier text, a later one, or another branch. Throws ArgumentError, and changes nothing, if it is
  /// unknown: of another session, or forgotten for want of room.
  void go_to(TextPlace place);
  /// Goes back to the first n tokens of the present text. Throws ArgumentError if it has fewer.
  void rewind(Index n_tokens);

  /// Tokens of the present text.
  [[nodiscard]] Index size() const noexcept { return place_.position; }
  [[nodiscard]] std::vector<Token> tokens(Index first = 0) const;
  /// Its bytes, which need not be UTF-8.
  [[nodiscard]] std::string text(Index first = 0) const;

  /// Replaces the sampler, and the seed of its random numbers. Throws as Sampler.
  void set_sampling(const SamplerOptions& sampling, std::uint64_t seed) { generator_.set_sampling(sampling, seed); }
  /// Forgets everything; all texts begin behind what this State has read. Throws ArgumentError if it is of another
  /// model.
  void begin_from(State state);

  [[nodiscard]] const State& state() const noexcept { return generator_.state(); }
  /// Behind the last token [n_vocab]; empty where there is none.
  [[nodiscard]] std::span<const float> logits() const noexcept { return generator_.logits(); }
  [[nodiscard]] const Model& model() const noexcept { return generator_.model(); }
  [[nodiscard]] const Tokenizer& tokenizer() const noexcept { return generator_.tokenizer(); }

  [[nodiscard]] const SessionOptions& options() const noexcept { return options_; }
  /// Between regular checkpoints now: that of the options, times a power of two.
  [[nodiscard]] Index interval() const noexcept { return checkpoints_.interval(); }
  [[nodiscard]] Index n_checkpoints() const noexcept { return std::ssize(checkpoints_.all()); }
  /// What one takes: the values of a State, and n_vocab logits.
  [[nodiscard]] Index checkpoint_bytes() const noexcept;
  /// What checkpoints and tokens take together.
  [[nodiscard]] Index n_bytes() const noexcept;
  /// How many tokens the model has read for this object, generated ones and those read again included.
  [[nodiscard]] Index n_read() const noexcept { return n_read_; }

  /// Free text that goes into files with the session (see session/session_file.hpp): whatever a program wants to find
  /// again.
  [[nodiscard]] std::map<std::string, std::string>& notes() noexcept { return notes_; }
  [[nodiscard]] const std::map<std::string, std::string>& notes() const noexcept { return notes_; }

private:
  friend class detail::SessionFile;

  static const SessionOptions& checked(const SessionOptions& options);

  /// Reads tokens in pieces that end where regular checkpoints are due; `arrive` says which place a piece leads to.
  bool feed(std::span<const Token> tokens, FunctionRef<TextPlace(std::span<const Token>)> arrive,
            FunctionRef<bool(Index)> on_progress);

  void restore(SessionCheckpoint& checkpoint);
  void go_to_beginning();

  /// Takes a checkpoint here, if one is due or asked for.
  void take_checkpoint(bool is_asked_for);
  void forget_branches();

  Generator generator_;
  SessionOptions options_;
  State initial_;
  TokenTree tree_;
  TextPlace place_;
  SessionCheckpoints checkpoints_;
  Index n_read_ = 0;
  std::map<std::string, std::string> notes_;
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <limits>
#include <utility>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API Session::Session(Model model, Tokenizer tokenizer, Workspace& workspace, const SessionOptions& options,
                          const SamplerOptions& sampling, std::uint64_t seed)
    : generator_(std::move(model), std::move(tokenizer), workspace, sampling, seed),
      options_(checked(options)),
      initial_(generator_.state()),
      checkpoints_(options.interval, options.max_bytes / checkpoint_bytes()) {}

RWKV_API const SessionOptions& Session::checked(const SessionOptions& options) {
  const auto at_least = [](const char* option, Index value, Index least) {
    if (value >= least) return;
    throw ArgumentError({.item = std::string("option ") + option,
                         .expected = "at least " + std::to_string(least),
                         .found = std::to_string(value)});
  };
  at_least("interval", options.interval, 1);
  at_least("max_bytes", options.max_bytes, 0);
  at_least("max_tokens", options.max_tokens, 0);
  return options;
}

RWKV_API void Session::read(std::string_view text) { read(tokenizer().encode(text)); }

RWKV_API void Session::read(std::span<const Token> tokens) {
  read(tokens, [](Index) { return true; });
}

RWKV_API bool Session::read(std::span<const Token> tokens, FunctionRef<bool(Index)> on_progress) {
  model().check(tokens);
  Index n_known = 0;
  if (SessionCheckpoint* const known = checkpoints_.ahead(place_, tokens, tree_)) {
    n_known = known->place.position - place_.position;
    restore(*known);
  }
  const bool is_done = feed(
      tokens.subspan(static_cast<std::size_t>(n_known)),
      [this](std::span<const Token> piece) { return tree_.append(place_, piece); },
      [&](Index n) { return on_progress(n_known + n); });
  take_checkpoint(true);
  forget_branches();
  return is_done;
}

RWKV_API bool Session::feed(std::span<const Token> tokens, FunctionRef<TextPlace(std::span<const Token>)> arrive,
                            FunctionRef<bool(Index)> on_progress) {
  constexpr Index max_piece = 256;
  for (Index first = 0; first < std::ssize(tokens);) {
    const Index n = std::min({max_piece, checkpoints_.next() - place_.position, std::ssize(tokens) - first});
    const auto piece = tokens.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n));
    generator_.read(piece);
    n_read_ += n;
    first += n;
    place_ = arrive(piece);
    take_checkpoint(false);
    if (!on_progress(first)) return first == std::ssize(tokens);
  }
  return true;
}

RWKV_API Generated Session::generate(const GenerateOptions& options) {
  return generate(options, [](std::string_view) { return true; });
}

RWKV_API Generated Session::generate(const GenerateOptions& options, FunctionRef<bool(std::string_view)> on_text) {
  const Index begin = place_.position;
  if (logits().empty()) return generator_.generate(options, on_text);  // throws
  const auto follow = [&] {
    place_ = tree_.append(place_, generator_.generated().subspan(static_cast<std::size_t>(place_.position - begin)));
  };
  const auto finish = [&] {
    follow();
    n_read_ += place_.position - begin;
    take_checkpoint(true);
    forget_branches();
  };
  Generated result{};
  try {
    result = generator_.generate(options, [&](std::string_view text) {
      const bool may_have_guessed = options.lookup > 0;
      if (!may_have_guessed && !generator_.is_holding()) {
        follow();
        take_checkpoint(false);
      }
      return on_text(text);
    });
  } catch (...) {
    finish();
    throw;
  }
  finish();
  return result;
}

RWKV_API void Session::open(std::string_view text) { open(tokenizer().encode(text)); }

RWKV_API void Session::open(std::span<const Token> tokens) {
  model().check(tokens);
  go_to_beginning();
  read(tokens);
}

RWKV_API void Session::go_to(TextPlace place) {
  if (!contains(place)) {
    throw ArgumentError({.item = "place " + std::to_string(place.position) + " of line " + std::to_string(place.line),
                         .problem = "is unknown",
                         .hint = "It is of another session, or was forgotten for want of room."});
  }
  place = tree_.normalised(place);
  if (place == place_) return;
  if (SessionCheckpoint* const nearest = checkpoints_.before(place, tree_)) {
    restore(*nearest);
  } else {
    go_to_beginning();
  }
  const auto arrive = [&](std::span<const Token> piece) {
    return tree_.normalised({place.line, place_.position + std::ssize(piece)});
  };
  feed(tree_.tokens(place, place_.position), arrive, [](Index) { return true; });
  take_checkpoint(true);
  tree_.touch(place_);
}

RWKV_API void Session::rewind(Index n_tokens) {
  if (n_tokens < 0 || n_tokens > size()) {
    throw ArgumentError({.item = "rewind",
                         .expected = "0 to " + std::to_string(size()) + " tokens, as the text has",
                         .found = std::to_string(n_tokens)});
  }
  go_to({place_.line, n_tokens});
}

RWKV_API void Session::restore(SessionCheckpoint& checkpoint) {
  generator_.set_state(checkpoint.state, checkpoint.logits);
  place_ = checkpoint.place;
  checkpoints_.use(checkpoint);
  checkpoints_.arrive(place_);
}

RWKV_API void Session::go_to_beginning() {
  generator_.set_state(initial_);
  place_ = {};
  checkpoints_.arrive(place_);
}

RWKV_API void Session::take_checkpoint(bool is_asked_for) {
  const bool is_due = place_.position >= checkpoints_.next();
  if (is_due) checkpoints_.arrive(place_);
  if (!(is_due || is_asked_for) || place_.position == 0) return;
  SessionCheckpoint* checkpoint = checkpoints_.at(place_);
  if (checkpoint == nullptr) {
    checkpoint = checkpoints_.add(place_, state(), tree_);
    if (checkpoint == nullptr) return;
    checkpoint->state = state();
    checkpoint->logits.assign(logits().begin(), logits().end());
  }
  checkpoint->is_regular = checkpoint->is_regular || is_due;
  checkpoints_.use(*checkpoint);
}

RWKV_API void Session::forget_branches() {
  tree_.touch(place_);
  if (tree_.forget(options_.max_tokens, place_)) checkpoints_.forget(tree_);
}

RWKV_API std::vector<Token> Session::tokens(Index first) const {
  if (first < 0 || first > size()) {
    throw ArgumentError(
        {.item = "first token", .expected = "0 to " + std::to_string(size()), .found = std::to_string(first)});
  }
  return tree_.tokens(place_, first);
}

RWKV_API std::string Session::text(Index first) const { return tokenizer().decode(tokens(first)); }

RWKV_API void Session::begin_from(State state) {
  model().check(state);
  initial_ = std::move(state);
  tree_ = TokenTree();
  checkpoints_ = SessionCheckpoints(options_.interval, options_.max_bytes / checkpoint_bytes());
  go_to_beginning();
}

RWKV_API Index Session::checkpoint_bytes() const noexcept {
  const Index n_numbers = model().state_layout().size() + model().config().n_vocab;
  return n_numbers * static_cast<Index>(sizeof(float)) + static_cast<Index>(sizeof(SessionCheckpoint));
}

RWKV_API Index Session::n_bytes() const noexcept {
  return n_checkpoints() * checkpoint_bytes() + tree_.n_tokens() * static_cast<Index>(sizeof(Token));
}

RWKV_NAMESPACE_END
#endif
