// SPDX-License-Identifier: MIT
// A model of any generation, and the one forward pass for a token, a prompt and a batch.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/state.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

template <class Scalar>
struct Segment;

/// Which logits of a sequence are wanted.
enum class Logits { none, last, all };

/// What one sequence brings to a forward pass, and what it gets.
template <class Scalar>
struct BasicSequence {
  std::span<const Token> tokens;      ///< read in this order; one, or many
  BasicState<Scalar>* state;          ///< what was read before; updated. Different for each sequence of a batch
  Logits wanted = Logits::last;       ///< no tokens, no logits
  MatrixView<const Scalar> logits{};  ///< out: [0, 1 or T, n_vocab], in the workspace until its next forward pass
  MatrixView<const Scalar> hidden{};  ///< out, of forward_hidden: [0, 1 or T, n_embd], likewise
};

/// The rows of a pass between its parts: a value that may be kept, or sent to another machine.
template <class Scalar>
struct BasicActivations {
  std::vector<Token> tokens;  ///< T
  Buffer<Scalar> x;           ///< [T, n_embd], the residual stream
  Buffer<Scalar> v_first;     ///< [T, n_att], RWKV-7 and later: the values of the first layer
};

/// How a model holds its weights.
struct WeightOptions {
  /// Matrices of q8_0, q4_0 and iq4_nl are copied with the rows of each 16 interleaved, see Linear::interleaved: memory
  /// and a longer start for faster decoding with AVX-512 VNNI.
  bool interleaved = false;
};

/// Immutable, cheap to copy. All methods are const; share one Model between threads, give each its own State and
/// Workspace.
template <class Scalar>
class BasicModel {
public:
  /// The weights stay where the checkpoint has them, unless the options say otherwise, and are kept alive.
  /// Throws ModelError naming the tensor if one is missing or of the wrong shape, and UnsupportedError if there are
  /// unknown ones in the layers, or if it is a generation that this version does not run.
  explicit BasicModel(const Checkpoint& checkpoint, const WeightOptions& options = {});
  /// With a Config from detect() in which something was changed that tensors do not tell: group_norm_eps, v6c, and
  /// the n_ctx of RWKV-7b. Throws ArgumentError, besides, for a Config that no model has.
  BasicModel(const Checkpoint& checkpoint, const Config& config, const WeightOptions& options = {});

  [[nodiscard]] const Config& config() const noexcept;

  /// The State before the first token.
  [[nodiscard]] BasicState<Scalar> new_state() const;
  /// What every State of this model holds, and the model's fingerprint.
  [[nodiscard]] const StateLayout& state_layout() const noexcept;

  /// Reads tokens, updates the state, and returns the logits after the last one: n_vocab values in the workspace, valid
  /// until its next forward pass.
  /// Throws ArgumentError, and changes nothing, if there are no tokens or one is outside the vocabulary.
  std::span<const Scalar> forward(std::span<const Token> tokens, BasicState<Scalar>& state, Workspace& workspace) const;

  /// Reads several sequences at once: every weight is read once for all of them. Memory for scratch does not grow with
  /// the number of tokens; memory for logits does, where all are wanted.
  /// Throws ArgumentError, and changes nothing, if a token is outside the vocabulary or a state is not of this model.
  void forward(std::span<BasicSequence<Scalar>> batch, Workspace& workspace) const;

  /// The same without the head: in place of logits what the head makes them of, the output of the last layer after
  /// ln_out (in RWKV-1 ln_f).
  void forward_hidden(std::span<BasicSequence<Scalar>> batch, Workspace& workspace) const;

  /// The pass of one sequence in parts, for hosts that spread it over time or machines: embed, apply_layers for all
  /// layers in order, apply_head, which ends it. Unlike forward() they take all rows at once, and scratch grows with
  /// the number of tokens: read long texts in pieces.
  /// All throw ArgumentError, and change nothing, if a size does not fit, a token is outside the vocabulary, or the
  /// state is of another model.
  [[nodiscard]] BasicActivations<Scalar> embed(std::span<const Token> tokens, Workspace& workspace) const;
  /// Layers [first, last); the state is updated for them alone.
  void apply_layers(Index first, Index last, BasicActivations<Scalar>& rows, BasicState<Scalar>& state,
                    Workspace& workspace) const;
  /// Logits as `wanted`: [0, 1 or T, n_vocab] in the workspace until its next forward pass.
  MatrixView<const Scalar> apply_head(const BasicActivations<Scalar>& rows, Logits wanted, BasicState<Scalar>& state,
                                      Workspace& workspace) const;

  /// Throws ArgumentError if a token is outside the vocabulary.
  void check(std::span<const Token> tokens) const;
  /// Throws ArgumentError if the state is of another model.
  void check(const BasicState<Scalar>& state) const;

private:
  struct Data;
  struct Pass;

  /// Rows of one pass through the layers: enough to make the products efficient, few enough to keep scratch small.
  static constexpr Index max_rows = 256;

  [[nodiscard]] static Index count_wanted(Logits wanted, Index n_tokens) noexcept {
    return wanted == Logits::all ? n_tokens : wanted == Logits::last ? std::min<Index>(n_tokens, 1) : 0;
  }
  [[nodiscard]] bool has_v_first() const noexcept { return config().generation >= Generation::v7; }

  /// How many tokens were read, for models with an n_ctx. Places in a ring of n_ctx need no more than the number modulo
  /// n_ctx and whether the ring is full, so it stays below 2 n_ctx.
  [[nodiscard]] Index position(const Scalar* state) const noexcept;
  void advance(const Segment<Scalar>& segment) const noexcept;

  void check(std::span<const BasicSequence<Scalar>> batch, Workspace& workspace) const;
  void check(const BasicActivations<Scalar>& rows, const BasicState<Scalar>& state) const;
  void check_room(const BasicState<Scalar>& state, Index n_tokens) const;
  /// forward and forward_hidden: fills one of logits and hidden, and empties the other.
  void read(std::span<BasicSequence<Scalar>> batch, bool with_head, Workspace& workspace) const;
  void run(const Pass& pass, bool with_head, MatrixView<Scalar> results, Workspace& workspace) const;

  std::shared_ptr<const Data> data_;
};

using Model = BasicModel<float>;
using Sequence = BasicSequence<float>;
using Activations = BasicActivations<float>;

RWKV_EXTERN(class BasicModel<float>)
RWKV_EXTERN(class BasicModel<double>)

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <numeric>
#include <string>
#include <utility>

#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/fingerprint.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/core/subnormals.hpp"

RWKV_NAMESPACE_BEGIN

template <class Scalar>
struct BasicModel<Scalar>::Data {
  Data(const Checkpoint& checkpoint, const Config& chosen, const WeightOptions& options)
      : config(chosen), network(load(checkpoint, options)) {}

  Network<Scalar> load(const Checkpoint& checkpoint, const WeightOptions& options) {
    Construction construction{&checkpoint, config, *layout, options.interleaved};
    Network<Scalar> loaded = make_network<Scalar>(Builder(construction));
    refuse_unknown_tensors(checkpoint, construction);
    layout->set_model(config.generation, model_fingerprint(checkpoint, construction));
    const bool is_limited = config.generation == Generation::v1 || config.generation == Generation::v7b;
    if (config.n_ctx > 0) n_read = layout->add("n_read", {1}, 0, is_limited ? config.n_ctx + 1 : 2 * config.n_ctx);
    refuse_huge_state(checkpoint);
    return loaded;
  }

  /// A small file must not make States that fill the memory. Those of published models are far smaller than the model.
  void refuse_huge_state(const Checkpoint& checkpoint) const {
    constexpr Index free_bytes = Index{64} << 20, factor = 8;
    Index n_bytes = 0;
    for (const Checkpoint::Entry& entry : checkpoint.entries()) n_bytes += entry.tensor.n_bytes();
    if (layout->size() <= (factor * n_bytes + free_bytes) / static_cast<Index>(sizeof(float))) return;
    const auto by_size = [](const StateLayout::Entry& a, const StateLayout::Entry& b) {
      return a.shape.checked_n_elements() < b.shape.checked_n_elements();
    };
    const auto largest = std::max_element(layout->entries().begin(), layout->entries().end(), by_size);
    throw ModelError({.path = checkpoint.path(),
                      .item = "state " + tensor_item(largest->name),
                      .expected = "a State of at most " + std::to_string(factor) + " times the weights",
                      .found = "shape " + to_string(largest->shape)});
  }

  Config config;
  std::shared_ptr<StateLayout> layout = std::make_shared<StateLayout>();
  Index n_read = -1;  // offset in the State, of models with an n_ctx: see position()
  Network<Scalar> network;
};

/// The rows of one pass, gathered from the sequences of a batch.
template <class Scalar>
struct BasicModel<Scalar>::Pass {
  Token* tokens;
  Segment<Scalar>* segments;
  Index* wanted_rows;  // those whose logits are wanted
  Index n_rows = 0;
  Index n_segments = 0;
  Index n_wanted = 0;
};

template <class Scalar>
BasicModel<Scalar>::BasicModel(const Checkpoint& checkpoint, const WeightOptions& options)
    : BasicModel(checkpoint, detect(checkpoint), options) {}

template <class Scalar>
BasicModel<Scalar>::BasicModel(const Checkpoint& checkpoint, const Config& config, const WeightOptions& options)
    : data_(std::make_shared<const Data>(checkpoint, config, options)) {}

template <class Scalar>
const Config& BasicModel<Scalar>::config() const noexcept {
  return data_->config;
}

template <class Scalar>
BasicState<Scalar> BasicModel<Scalar>::new_state() const {
  return BasicState<Scalar>(data_->layout);
}

template <class Scalar>
const StateLayout& BasicModel<Scalar>::state_layout() const noexcept {
  return *data_->layout;
}

template <class Scalar>
std::span<const Scalar> BasicModel<Scalar>::forward(std::span<const Token> tokens, BasicState<Scalar>& state,
                                                    Workspace& workspace) const {
  if (tokens.empty()) throw ArgumentError({.item = "forward", .expected = "at least one token", .found = "none"});
  BasicSequence<Scalar> sequence{tokens, &state};
  forward(std::span(&sequence, 1), workspace);
  return sequence.logits.span();
}

template <class Scalar>
void BasicModel<Scalar>::forward(std::span<BasicSequence<Scalar>> batch, Workspace& workspace) const {
  read(batch, true, workspace);
}

template <class Scalar>
void BasicModel<Scalar>::forward_hidden(std::span<BasicSequence<Scalar>> batch, Workspace& workspace) const {
  read(batch, false, workspace);
}

template <class Scalar>
void BasicModel<Scalar>::read(std::span<BasicSequence<Scalar>> batch, bool with_head, Workspace& workspace) const {
  check(batch, workspace);
  Index n_rows = 0;
  for (const auto& sequence : batch) {
    n_rows += count_wanted(sequence.wanted, static_cast<Index>(sequence.tokens.size()));
  }
  const Index n_cols = with_head ? config().n_vocab : config().n_embd;
  const MatrixView<Scalar> results{workspace.results<Scalar>(n_rows * n_cols).data(), n_rows, n_cols};

  Workspace::Frame frame(workspace);
  Pass pass{frame.template take<Token>(max_rows), frame.template take<Segment<Scalar>>(max_rows),
            frame.template take<Index>(max_rows)};
  Index n_done = 0;  // rows of results; those of one pass follow those of the pass before
  const auto run_pass = [&] {
    run(pass, with_head, results.rows(n_done, pass.n_wanted), workspace);
    n_done += pass.n_wanted;
    pass.n_rows = pass.n_segments = pass.n_wanted = 0;
  };
  Index first_result = 0;
  for (BasicSequence<Scalar>& sequence : batch) {
    const auto n_tokens = static_cast<Index>(sequence.tokens.size());
    for (Index first = 0; first < n_tokens;) {
      const Index n = std::min(n_tokens - first, max_rows - pass.n_rows);
      Scalar* const state = sequence.state->values().data();
      pass.segments[pass.n_segments++] = {pass.n_rows, n, state, position(state)};
      for (Index i = first; i < first + n; ++i) {
        const bool is_wanted = sequence.wanted == Logits::all || (sequence.wanted == Logits::last && i + 1 == n_tokens);
        if (is_wanted) pass.wanted_rows[pass.n_wanted++] = pass.n_rows;
        pass.tokens[pass.n_rows++] = sequence.tokens[static_cast<std::size_t>(i)];
      }
      first += n;
      if (pass.n_rows == max_rows) run_pass();
    }
    const MatrixView<Scalar> rows = results.rows(first_result, count_wanted(sequence.wanted, n_tokens));
    sequence.logits = with_head ? rows : MatrixView<Scalar>{};
    sequence.hidden = with_head ? MatrixView<Scalar>{} : rows;
    first_result += rows.n_rows;
  }
  if (pass.n_rows > 0) run_pass();
}

template <class Scalar>
void BasicModel<Scalar>::run(const Pass& pass, bool with_head, MatrixView<Scalar> results, Workspace& workspace) const {
  const FlushSubnormals mode;
  Workspace::Frame frame(workspace);
  const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(pass.n_rows, n_cols); };
  const MatrixView<Scalar> x = matrix(config().n_embd), v_first = matrix(has_v_first() ? config().n_att : 0);
  const std::span<const Segment<Scalar>> segments(pass.segments, static_cast<std::size_t>(pass.n_segments));
  const std::span<const Token> tokens(pass.tokens, static_cast<std::size_t>(pass.n_rows));
  const Network<Scalar>& network = data_->network;
  const Batch<Scalar> batch{segments, workspace, v_first, tokens, &network.embedding()};
  network.embedding().apply(tokens, x, workspace);
  network.apply_layers(0, config().n_layer, x, batch);
  const std::span<const Index> wanted(pass.wanted_rows, static_cast<std::size_t>(pass.n_wanted));
  if (with_head) {
    network.apply_head(x, wanted, results, batch);
  } else {
    network.apply_norm(x, wanted, results, batch);
  }
  for (const Segment<Scalar>& segment : segments) advance(segment);
}

template <class Scalar>
BasicActivations<Scalar> BasicModel<Scalar>::embed(std::span<const Token> tokens, Workspace& workspace) const {
  check(tokens);
  const auto n = static_cast<Index>(tokens.size());
  BasicActivations<Scalar> rows{{tokens.begin(), tokens.end()},
                                Buffer<Scalar>(n * config().n_embd),
                                Buffer<Scalar>(has_v_first() ? n * config().n_att : 0)};
  const FlushSubnormals mode;
  data_->network.embedding().apply(tokens, {rows.x.data(), n, config().n_embd}, workspace);
  return rows;
}

template <class Scalar>
void BasicModel<Scalar>::apply_layers(Index first, Index last, BasicActivations<Scalar>& rows,
                                      BasicState<Scalar>& state, Workspace& workspace) const {
  check(rows, state);
  if (first < 0 || first > last || last > config().n_layer) {
    throw ArgumentError({.item = "layers",
                         .expected = "a range within 0 to " + std::to_string(config().n_layer),
                         .found = std::to_string(first) + " to " + std::to_string(last)});
  }
  const FlushSubnormals mode;
  const auto n = static_cast<Index>(rows.tokens.size());
  const Segment<Scalar> segment{0, n, state.values().data(), position(state.values().data())};
  const MatrixView<Scalar> v_first{rows.v_first.data(), n, has_v_first() ? config().n_att : 0};
  const Batch<Scalar> batch{std::span(&segment, 1), workspace, v_first, rows.tokens, &data_->network.embedding()};
  data_->network.apply_layers(first, last, {rows.x.data(), n, config().n_embd}, batch);
}

template <class Scalar>
MatrixView<const Scalar> BasicModel<Scalar>::apply_head(const BasicActivations<Scalar>& rows, Logits wanted,
                                                        BasicState<Scalar>& state, Workspace& workspace) const {
  check(rows, state);
  const auto n = static_cast<Index>(rows.tokens.size());
  const Index n_wanted = count_wanted(wanted, n);
  const MatrixView<Scalar> logits{workspace.results<Scalar>(n_wanted * config().n_vocab).data(), n_wanted,
                                  config().n_vocab};
  const FlushSubnormals mode;
  Workspace::Frame frame(workspace);
  const std::span wanted_rows(frame.template take<Index>(n_wanted), static_cast<std::size_t>(n_wanted));
  std::iota(wanted_rows.begin(), wanted_rows.end(), n - n_wanted);
  const Segment<Scalar> segment{0, n, state.values().data(), position(state.values().data())};
  const Batch<Scalar> batch{std::span(&segment, 1), workspace, {}, rows.tokens};
  data_->network.apply_head({rows.x.data(), n, config().n_embd}, wanted_rows, logits, batch);
  advance(segment);
  return logits;
}

template <class Scalar>
Index BasicModel<Scalar>::position(const Scalar* state) const noexcept {
  return data_->n_read < 0 ? 0 : static_cast<Index>(state[data_->n_read]);
}

template <class Scalar>
void BasicModel<Scalar>::advance(const Segment<Scalar>& segment) const noexcept {
  if (data_->n_read < 0) return;
  const Index n_ctx = config().n_ctx, n_read = segment.position + segment.n_rows;
  segment.state[data_->n_read] = static_cast<Scalar>(n_read < 2 * n_ctx ? n_read : n_ctx + n_read % n_ctx);
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
void BasicModel<Scalar>::check(const BasicState<Scalar>& state) const {
  const bool is_whole = static_cast<Index>(state.values().size()) == data_->layout->size();  // not moved from
  if (!is_whole || state.layout() != *data_->layout)
    throw ArgumentError({.item = "state", .problem = "is of another model"});
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
    check_room(*batch[i].state, static_cast<Index>(batch[i].tokens.size()));
    states[i] = batch[i].state;
  }
  std::ranges::sort(states);
  if (std::ranges::adjacent_find(states) != states.end()) {
    throw ArgumentError({.item = "batch", .problem = "two sequences have the same state"});
  }
}

template <class Scalar>
void BasicModel<Scalar>::check(const BasicActivations<Scalar>& rows, const BasicState<Scalar>& state) const {
  check(rows.tokens);
  check(state);
  const auto n = static_cast<Index>(rows.tokens.size());
  check_room(state, n);
  if (rows.x.size() == n * config().n_embd && rows.v_first.size() == (has_v_first() ? n * config().n_att : 0)) {
    return;
  }
  throw ArgumentError(
      {.item = "rows", .expected = "the rows of " + std::to_string(n) + " tokens that embed() of this model gave"});
}

template <class Scalar>
void BasicModel<Scalar>::check_room(const BasicState<Scalar>& state, Index n_tokens) const {
  const bool is_limited = config().generation == Generation::v1 || config().generation == Generation::v7b;
  const Index n_read = position(state.values().data());
  if (!is_limited || n_tokens <= config().n_ctx - n_read) return;
  throw ArgumentError({.item = "tokens",
                       .expected = "at most " + std::to_string(std::max(config().n_ctx - n_read, Index{0})) +
                                   " more, for the context of " + std::to_string(config().n_ctx) +
                                   " tokens that this RWKV-" + std::string(name(config().generation)) + " model has",
                       .found = std::to_string(n_tokens)});
}

RWKV_NAMESPACE_END
#endif
