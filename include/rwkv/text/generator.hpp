// SPDX-License-Identifier: MIT
// Text in, text out: a model, a tokenizer and a sampler that continue a text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/model.hpp"
#include "rwkv/text/constraint.hpp"
#include "rwkv/text/sampler.hpp"
#include "rwkv/text/stop.hpp"
#include "rwkv/text/text_reader.hpp"
#include "rwkv/text/tokenizer.hpp"

RWKV_NAMESPACE_BEGIN

/// When generation ends, and how it goes on until then.
struct GenerateOptions {
  Index max_tokens = 256;
  std::vector<std::string> stops = {};  ///< generation ends before any of these texts
  std::vector<Token> stop_tokens = {};  ///< and before any of these tokens
  bool stop_at_end_of_text = true;      ///< and before Tokenizer::end_of_text
  /// Where the text repeats itself, guess up to so many next tokens from what followed before, and read them together
  /// with the one before: the weights are then read once for all of them (prompt lookup decoding, Saxena 2023). Every
  /// token is sampled all the same, and what was guessed wrong is not kept: the text is that of lookup = 0, but for
  /// the rounding of sums.
  Index lookup = 0;
  /// Only tokens that it allows are drawn, and it goes on with each; kept by the caller, and of the same tokenizer.
  /// Generation ends where its text must end. Where it ends otherwise, the text is whole if Constraint::may_end; a stop
  /// text is not shown, but the constraint has it.
  Constraint* constraint = nullptr;
  bool close = false;  ///< after max_tokens, add the shortest text that the constraint allows to end with
};

/// What ended a generation.
enum class StopReason { length, stop_text, stop_token, cancelled, constraint };

/// What a generation gave.
struct Generated {
  std::string text;  ///< the bytes that were generated; the State has read exactly these
  Index n_tokens;    ///< tokens sampled
  StopReason reason;
  Index n_passes;  ///< times that the weights were read; without lookup once for each token
};

/// Continues a text. One sequence, one thread; the Workspace is used during calls only and may be shared between
/// generators of one thread.
///
/// Between calls the State has read all text so far, prompts and generated, and nothing else.
class Generator {
public:
  /// Throws ArgumentError for a sampling option that makes no sense, or a banned token outside the vocabulary.
  Generator(Model model, Tokenizer tokenizer, Workspace& workspace, const SamplerOptions& sampling = {},
            std::uint64_t seed = 0);

  /// Reads a text. Throws ArgumentError, and reads nothing, if it holds a token outside the model's vocabulary.
  void read(std::string_view text);
  void read(std::span<const Token> tokens);

  /// The same in pieces: calls on_progress(tokens read so far) after each, and stops when it returns false. Returns
  /// whether everything was read.
  bool read(std::span<const Token> tokens, FunctionRef<bool(Index)> on_progress);

  /// Generates until a stop, or max_tokens. on_text(std::string_view) gets the text as it comes, always whole UTF-8
  /// characters (what is not UTF-8 becomes U+FFFD), and cancels by returning false. When it is called, the State has
  /// read what it gets, and with lookup perhaps guesses.
  ///
  /// A stop text may cross the borders of tokens; nothing of it is shown, and the State is rewound to just before it.
  /// The penalties of the sampler start anew. Throws ArgumentError if nothing has been read yet.
  Generated generate(const GenerateOptions& options, FunctionRef<bool(std::string_view)> on_text);
  Generated generate(const GenerateOptions& options = {});

  [[nodiscard]] const State& state() const noexcept { return reader_.state(); }
  /// The logits after what the State has read [n_vocab]; empty before the first token.
  [[nodiscard]] std::span<const float> logits() const noexcept { return reader_.logits(); }
  /// Goes on from a State: what is read next follows what it has read. A State holds no logits, so something must be
  /// read before anything can be generated, unless they come with it.
  /// Throws ArgumentError, and changes nothing, if it is of another model, or the logits are of another vocabulary.
  void set_state(State state, std::span<const float> logits = {}) { reader_.set_state(std::move(state), logits); }
  /// The tokens that the last generate() has made the State read, also while it runs (but not what it guesses).
  [[nodiscard]] std::span<const Token> generated() const noexcept { return generated_; }
  /// Whether a stop text may take back the last of them: not all of their bytes have been shown.
  [[nodiscard]] bool is_holding() const noexcept { return n_snapshots_ > 0; }
  /// Replaces the sampler. Throws as the constructor.
  void set_sampling(const SamplerOptions& sampling, std::uint64_t seed);
  /// The random numbers to come: with those of another generator, the same are drawn.
  [[nodiscard]] const Random& random() const noexcept { return sampler_.random(); }
  void set_random(const Random& random) noexcept { sampler_.set_random(random); }
  [[nodiscard]] const Tokenizer& tokenizer() const noexcept { return tokenizer_; }
  [[nodiscard]] const Model& model() const noexcept { return reader_.model(); }

private:
  /// What is needed to go back to before a token whose text is being held back.
  struct Snapshot {
    State state;
    std::vector<float> logits;
    Token token;
  };

  /// Tokens that can be generated. Rows of the model beyond the tokenizer's are padding and never meant.
  [[nodiscard]] Index vocabulary_size() const noexcept;

  /// Ids without text are not meant either: nobody would see them, and the model was not trained to read them.
  [[nodiscard]] SamplerOptions with_bans(SamplerOptions options) const;

  /// The next token, by what has been read.
  [[nodiscard]] Token draw(Constraint* constraint);

  [[nodiscard]] bool is_stop(Token token, const GenerateOptions& options) const;

  /// Makes the State read a token that was drawn, unless it completes a stop text.
  void extend(Token token, const GenerateOptions& options, StopMatcher& matcher, Generated& result);
  /// Adds the shortest text that the constraint allows to end with.
  void close(Constraint& constraint, Generated& result);

  [[nodiscard]] Index n_bytes(Token token) const noexcept;

  /// Remembers the present as that before `token`, which comes next, and forgets what lies before the last n_held
  /// bytes.
  void take_snapshot(Token token, Index n_held);

  /// Goes back to before the last n_back bytes; `token` was sampled last and has not been read yet.
  void rewind(Index n_back, Token token);

  TextReader reader_;
  Tokenizer tokenizer_;
  Sampler sampler_;
  std::vector<float> allowed_;  // the logits of tokens that a constraint allows
  std::vector<Snapshot> snapshots_;
  std::size_t n_snapshots_ = 0;  // in use, the oldest first; the others keep their memory

  std::vector<Token> generated_;
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/text/character_stream.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API Generator::Generator(Model model, Tokenizer tokenizer, Workspace& workspace, const SamplerOptions& sampling,
                              std::uint64_t seed)
    : reader_(std::move(model), workspace), tokenizer_(std::move(tokenizer)), sampler_(with_bans(sampling), seed) {
  sampler_.set_tokenizer(tokenizer_);
}

RWKV_API void Generator::read(std::string_view text) { read(tokenizer_.encode(text)); }

RWKV_API void Generator::read(std::span<const Token> tokens) {
  read(tokens, [](Index) { return true; });
}

RWKV_API void Generator::set_sampling(const SamplerOptions& sampling, std::uint64_t seed) {
  sampler_ = Sampler(with_bans(sampling), seed);
  sampler_.set_tokenizer(tokenizer_);
}

RWKV_API Index Generator::vocabulary_size() const noexcept {
  return std::min(model().config().n_vocab, tokenizer_.n_vocab());
}

RWKV_API Token Generator::draw(Constraint* constraint) {
  std::span<const float> logits = reader_.logits().first(static_cast<std::size_t>(vocabulary_size()));
  if (constraint != nullptr) {
    allowed_.resize(logits.size());
    constraint->apply(logits, allowed_);
    logits = allowed_;
  }
  return sampler_.sample(logits);
}

RWKV_API bool Generator::is_stop(Token token, const GenerateOptions& options) const {
  return (options.stop_at_end_of_text && token == tokenizer_.end_of_text()) ||
         std::ranges::find(options.stop_tokens, token) != options.stop_tokens.end();
}

RWKV_API Index Generator::n_bytes(Token token) const noexcept {
  return static_cast<Index>(tokenizer_.bytes(token).size());
}

RWKV_API SamplerOptions Generator::with_bans(SamplerOptions options) const {
  for (const Token token : options.banned) {
    if (token >= 0 && token < vocabulary_size()) continue;
    throw ArgumentError({.item = "banned token",
                         .expected = "0 to " + std::to_string(vocabulary_size() - 1),
                         .found = std::to_string(token)});
  }
  for (Token token = 0; token < vocabulary_size(); ++token) {
    if (tokenizer_.bytes(token).empty() && token != tokenizer_.end_of_text()) options.banned.push_back(token);
  }
  return options;
}

RWKV_API bool Generator::read(std::span<const Token> tokens, FunctionRef<bool(Index)> on_progress) {
  constexpr std::size_t piece = 256;
  model().check(tokens);
  for (std::size_t first = 0; first < tokens.size(); first += piece) {
    const std::size_t n = std::min(piece, tokens.size() - first);
    reader_.read(tokens.subspan(first, n));
    if (!on_progress(static_cast<Index>(first + n))) return first + n == tokens.size();
  }
  return true;
}

RWKV_API void Generator::take_snapshot(Token token, Index n_held) {
  if (n_held == 0) {
    n_snapshots_ = 0;
    return;
  }
  if (n_snapshots_ == snapshots_.size()) snapshots_.push_back({state(), {}, token});
  Snapshot& newest = snapshots_[n_snapshots_++];
  newest.state = state();
  newest.logits.assign(logits().begin(), logits().end());
  newest.token = token;
  // The oldest is needed while its token holds one of the last n_held bytes.
  Index n_newer = 0;
  std::size_t oldest = n_snapshots_;
  while (oldest > 0 && n_newer < n_held) n_newer += n_bytes(snapshots_[--oldest].token);
  const auto begin = snapshots_.begin();
  std::rotate(begin, begin + static_cast<Index>(oldest), begin + static_cast<Index>(n_snapshots_));
  n_snapshots_ -= oldest;
}

RWKV_API void Generator::rewind(Index n_back, Token token) {
  // The tokens that end in the last n_back bytes, from the newest; the oldest of them may begin before.
  Index n_left = n_back - n_bytes(token);
  while (n_left > 0) {
    const Snapshot& snapshot = snapshots_[--n_snapshots_];
    reader_.restore(snapshot.state, snapshot.logits);
    token = snapshot.token;
    generated_.pop_back();
    n_left -= n_bytes(token);
  }
  n_snapshots_ = 0;
  const std::string_view kept = tokenizer_.bytes(token).substr(0, static_cast<std::size_t>(-n_left));
  if (kept.empty()) return;
  const std::vector<Token> tokens = tokenizer_.encode(kept);
  reader_.read(tokens);
  generated_.insert(generated_.end(), tokens.begin(), tokens.end());
}

RWKV_API Generated Generator::generate(const GenerateOptions& options) {
  return generate(options, [](std::string_view) { return true; });
}

RWKV_API Generated Generator::generate(const GenerateOptions& options, FunctionRef<bool(std::string_view)> on_text) {
  if (logits().empty()) {
    throw ArgumentError({.item = "generate", .problem = "there is nothing to continue", .hint = "Call read() first."});
  }
  sampler_.reset();
  n_snapshots_ = 0;
  generated_.clear();
  StopMatcher matcher(options.stops);
  CharacterStream shown(on_text);
  Generated result{{}, 0, StopReason::length, 0};
  try {
    while (shown.is_wanted() && result.reason == StopReason::length) {
      if (options.constraint != nullptr && options.constraint->must_end()) {
        result.reason = StopReason::constraint;
        break;
      }
      if (result.n_tokens >= options.max_tokens) break;
      const Token token = draw(options.constraint);
      if (is_stop(token, options)) {
        result.reason = StopReason::stop_token;
        break;
      }
      extend(token, options, matcher, result);
      shown.show(result.text);
    }
  } catch (...) {
    reader_.forget_guesses();
    throw;
  }
  reader_.forget_guesses();
  if (!shown.is_wanted() && result.reason == StopReason::length) result.reason = StopReason::cancelled;
  if (result.reason != StopReason::stop_text) matcher.flush(result.text);  // it was read, and is no stop after all
  if (result.reason == StopReason::length && options.constraint != nullptr && options.close)
    close(*options.constraint, result);
  shown.show(result.text);
  shown.end();
  return result;
}

RWKV_API void Generator::extend(Token token, const GenerateOptions& options, StopMatcher& matcher, Generated& result) {
  ++result.n_tokens;
  sampler_.accept(token);
  if (options.constraint != nullptr) options.constraint->accept(token);
  const bool is_stopped = matcher.push(tokenizer_.bytes(token), result.text);
  const auto n_held = static_cast<Index>(matcher.held().size());
  if (n_held > 0) reader_.forget_guesses();  // snapshots are of the text
  if (is_stopped) {
    rewind(n_held, token);
    result.reason = StopReason::stop_text;
  } else {
    take_snapshot(token, n_held);
    result.n_passes += reader_.read_guessing(token, n_held > 0 ? 0 : options.lookup) ? 1 : 0;
    generated_.push_back(token);
  }
}

RWKV_API void Generator::close(Constraint& constraint, Generated& result) {
  const std::string end = constraint.shortest_end();
  const std::vector<Token> tokens = tokenizer_.encode(end);
  read(tokens);
  generated_.insert(generated_.end(), tokens.begin(), tokens.end());
  constraint.accept(end);
  result.text += end;
}

RWKV_NAMESPACE_END
#endif
