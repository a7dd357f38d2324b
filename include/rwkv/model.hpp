// SPDX-License-Identifier: MIT
// A model of any generation, and the one forward pass for a token, a prompt and a batch.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "rwkv/arch/config.hpp"
#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/generations.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/state.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// Which logits of a sequence are wanted.
enum class Logits { none, last, all };

/// What one sequence brings to a forward pass, and what it gets.
template <class Scalar>
struct BasicSequence {
  std::span<const Token> tokens;      ///< read in this order; one, or many
  BasicState<Scalar>* state;          ///< what was read before; updated. Different for each sequence of a batch
  Logits wanted = Logits::last;       ///< no tokens, no logits
  MatrixView<const Scalar> logits{};  ///< out: [0, 1 or T, n_vocab], in the workspace until its next forward pass
};

/// Immutable, cheap to copy. All methods are const; share one Model between threads, give each its own State and
/// Workspace.
template <class Scalar>
class BasicModel {
public:
  /// The weights stay where the checkpoint has them, and are kept alive.
  /// Throws ModelError naming the tensor if one is missing or of the wrong shape, and UnsupportedError if there are
  /// unknown ones in the layers, or if it is a generation that this version does not run.
  explicit BasicModel(const Checkpoint& checkpoint) : data_(std::make_shared<const Data>(checkpoint)) {}

  [[nodiscard]] const Config& config() const noexcept { return data_->config; }

  /// The State before the first token.
  [[nodiscard]] BasicState<Scalar> new_state() const { return BasicState<Scalar>(data_->layout); }

  /// Reads tokens, updates the state, and returns the logits after the last one: n_vocab values in the workspace, valid
  /// until its next forward pass.
  /// Throws ArgumentError, and changes nothing, if there are no tokens or one is outside the vocabulary.
  std::span<const Scalar> forward(std::span<const Token> tokens, BasicState<Scalar>& state,
                                  Workspace& workspace) const {
    if (tokens.empty()) throw ArgumentError({.item = "forward", .expected = "at least one token", .found = "none"});
    BasicSequence<Scalar> sequence{tokens, &state};
    forward(std::span(&sequence, 1), workspace);
    return sequence.logits.span();
  }

  /// Reads several sequences at once: every weight is read once for all of them. Memory for scratch does not grow with
  /// the number of tokens; memory for logits does, where all are wanted.
  /// Throws ArgumentError, and changes nothing, if a token is outside the vocabulary or a state is not of this model.
  void forward(std::span<BasicSequence<Scalar>> batch, Workspace& workspace) const;

  /// The pass of one sequence in parts, for hosts that spread it over time or machines: embed, apply_layers for all
  /// layers in order, apply_head for the rows whose logits are wanted. x is [T, n_embd], the residual stream.
  /// Throws ArgumentError, and changes nothing, if a size does not fit, a token is outside the vocabulary, or the state
  /// is of another model.
  void embed(std::span<const Token> tokens, MatrixView<Scalar> x, Workspace& workspace) const {
    check(tokens);
    check_shape("x", x, static_cast<Index>(tokens.size()), config().n_embd);
    visit([&](const auto& network) { network.embed(tokens, x, workspace); });
  }
  /// Layers [first, last); the state is updated for them alone.
  void apply_layers(Index first, Index last, MatrixView<Scalar> x, BasicState<Scalar>& state,
                    Workspace& workspace) const {
    check_shape("x", x, x.n_rows, config().n_embd);
    check(state);
    if (first < 0 || first > last || last > config().n_layer) {
      throw ArgumentError({.item = "layers",
                           .expected = "a range within 0 to " + std::to_string(config().n_layer),
                           .found = std::to_string(first) + " to " + std::to_string(last)});
    }
    const Segment<Scalar> segment{0, x.n_rows, state.values().data()};
    visit([&](const auto& network) { network.apply_layers(first, last, x, {std::span(&segment, 1), workspace}); });
  }
  /// logits are [T, n_vocab].
  void apply_head(MatrixView<const Scalar> x, MatrixView<Scalar> logits, Workspace& workspace) const {
    check_shape("x", x, x.n_rows, config().n_embd);
    check_shape("logits", logits, x.n_rows, config().n_vocab);
    visit([&](const auto& network) { network.apply_head(x, logits, workspace); });
  }

  /// Throws ArgumentError if a token is outside the vocabulary.
  void check(std::span<const Token> tokens) const;

private:
  struct Data {
    explicit Data(const Checkpoint& checkpoint) : config(detect(checkpoint)), network(load(checkpoint)) {}

    AnyNetwork<Scalar> load(const Checkpoint& checkpoint) {
      TensorSource source(&checkpoint);
      AnyNetwork<Scalar> loaded = make_network<Scalar>(source, config, *layout);
      refuse_unknown_tensors(checkpoint, source.asked());
      return loaded;
    }

    Config config;
    std::shared_ptr<StateLayout> layout = std::make_shared<StateLayout>();
    AnyNetwork<Scalar> network;
  };

  /// Rows of one pass through the layers: enough to make the products efficient, few enough to keep scratch small.
  static constexpr Index max_rows = 256;

  /// The rows of one pass, gathered from the sequences of a batch.
  struct Pass {
    Token* tokens;
    Segment<Scalar>* segments;
    Index* wanted_rows;  // those whose logits are wanted
    Index n_rows = 0;
    Index n_segments = 0;
    Index n_wanted = 0;
  };

  template <class Function>
  void visit(Function&& function) const {
    std::visit(std::forward<Function>(function), data_->network);
  }

  void check(const BasicState<Scalar>& state) const {
    if (state.layout() != *data_->layout) throw ArgumentError({.item = "state", .problem = "is of another model"});
  }
  void check(std::span<const BasicSequence<Scalar>> batch, Workspace& workspace) const;
  void run(const Pass& pass, MatrixView<Scalar> logits, Workspace& workspace) const;

  std::shared_ptr<const Data> data_;
};

using Model = BasicModel<float>;
using Sequence = BasicSequence<float>;

template <class Scalar>
void BasicModel<Scalar>::forward(std::span<BasicSequence<Scalar>> batch, Workspace& workspace) const {
  check(batch, workspace);
  const auto n_logits = [](const BasicSequence<Scalar>& sequence) {
    const auto n_tokens = static_cast<Index>(sequence.tokens.size());
    return sequence.wanted == Logits::all    ? n_tokens
           : sequence.wanted == Logits::last ? std::min<Index>(n_tokens, 1)
                                             : 0;
  };
  Index n_rows = 0;
  for (const auto& sequence : batch) n_rows += n_logits(sequence);
  const Index n_vocab = config().n_vocab;
  const MatrixView<Scalar> logits{workspace.results<Scalar>(n_rows * n_vocab).data(), n_rows, n_vocab};

  Workspace::Frame frame(workspace);
  Pass pass{frame.template take<Token>(max_rows), frame.template take<Segment<Scalar>>(max_rows),
            frame.template take<Index>(max_rows)};
  Index n_done = 0;  // rows of logits; those of one pass follow those of the pass before
  const auto run_pass = [&] {
    run(pass, logits.rows(n_done, pass.n_wanted), workspace);
    n_done += pass.n_wanted;
    pass.n_rows = pass.n_segments = pass.n_wanted = 0;
  };
  Index first_logits = 0;
  for (BasicSequence<Scalar>& sequence : batch) {
    const auto n_tokens = static_cast<Index>(sequence.tokens.size());
    for (Index first = 0; first < n_tokens;) {
      const Index n = std::min(n_tokens - first, max_rows - pass.n_rows);
      pass.segments[pass.n_segments++] = {pass.n_rows, n, sequence.state->values().data()};
      for (Index i = first; i < first + n; ++i) {
        const bool is_wanted = sequence.wanted == Logits::all || (sequence.wanted == Logits::last && i + 1 == n_tokens);
        if (is_wanted) pass.wanted_rows[pass.n_wanted++] = pass.n_rows;
        pass.tokens[pass.n_rows++] = sequence.tokens[static_cast<std::size_t>(i)];
      }
      first += n;
      if (pass.n_rows == max_rows) run_pass();
    }
    sequence.logits = logits.rows(first_logits, n_logits(sequence));
    first_logits += sequence.logits.n_rows;
  }
  if (pass.n_rows > 0) run_pass();
}

template <class Scalar>
void BasicModel<Scalar>::run(const Pass& pass, MatrixView<Scalar> logits, Workspace& workspace) const {
  Workspace::Frame frame(workspace);
  const Index n_embd = config().n_embd;
  const auto x = frame.template matrix<Scalar>(pass.n_rows, n_embd);
  visit([&](const auto& network) {
    network.embed({pass.tokens, static_cast<std::size_t>(pass.n_rows)}, x, workspace);
    network.apply_layers(0, config().n_layer, x,
                         {{pass.segments, static_cast<std::size_t>(pass.n_segments)}, workspace});
    if (pass.n_wanted == 0) return;
    const auto wanted = frame.template matrix<Scalar>(pass.n_wanted, n_embd);
    for (Index i = 0; i < pass.n_wanted; ++i) std::copy_n(x.row(pass.wanted_rows[i]), n_embd, wanted.row(i));
    network.apply_head(wanted, logits, workspace);
  });
}

template <class Scalar>
void BasicModel<Scalar>::check(std::span<const Token> tokens) const {
  const auto n_vocab = config().n_vocab;
  for (const Token token : tokens) {
    if (token >= 0 && token < n_vocab) continue;
    throw ArgumentError({.item = "token",
                         .expected = "0 to " + std::to_string(n_vocab - 1) + ", the model's vocabulary",
                         .found = std::to_string(token)});
  }
}

template <class Scalar>
void BasicModel<Scalar>::check(std::span<const BasicSequence<Scalar>> batch, Workspace& workspace) const {
  Workspace::Frame frame(workspace);
  const std::span states(frame.template take<const BasicState<Scalar>*>(static_cast<Index>(batch.size())),
                         batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    check(batch[i].tokens);
    if (batch[i].state == nullptr) throw ArgumentError({.item = "batch", .problem = "a sequence has no state"});
    check(*batch[i].state);
    states[i] = batch[i].state;
  }
  std::ranges::sort(states);
  if (std::ranges::adjacent_find(states) != states.end()) {
    throw ArgumentError({.item = "batch", .problem = "two sequences have the same state"});
  }
}

RWKV_NAMESPACE_END
