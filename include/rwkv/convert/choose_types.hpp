// SPDX-License-Identifier: MIT
// A type for each weight matrix of a model, so that a given number of bits costs it the least.
#pragma once

#include <span>
#include <string>

#include "rwkv/arch/storage_rule.hpp"
#include "rwkv/core/dtype.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/eval/text_windows.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/quant/quantise.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// Chooses a type of blocks for every matrix that stored_dtype would store in blocks, so that their mean is at most
/// `bits_per_weight`, embedding and head included, and the divergence from the model as it is, is small. Those that are
/// in blocks already, or that none of the types fits, keep their own; it counts in the mean like a chosen one.
///
/// What a matrix costs is measured: the model reads the text once for each, with that one in the smallest type and all
/// others as they are. The mean divergence KL is taken to grow with the square of the error of the weights, counted by
/// `importance`, and to add up over matrices; both hold while it is small. Bits then go where they lower the sum most.
/// Of types of equal size a matrix gets that of the smallest error.
///
/// `types` are those to choose from, such as those a file format holds. Some hundred tokens of text are enough; memory
/// is needed for the logits of all of them, 4 n_vocab bytes for each. `progress` counts the tokens of all the readings,
/// (matrices + 1) times those of the text; matrices that keep their type are not read.
/// Throws ArgumentError if there are fewer than 2 tokens, if one is outside the vocabulary, or if no choice is small
/// enough (and says what is); what the constructor of Model throws; and what `progress` throws.
[[nodiscard]] RWKV_API TensorTypes choose_types(const Checkpoint& checkpoint, double bits_per_weight,
                                                std::span<const DType> types, const Importance& importance,
                                                std::span<const Token> text, Workspace& workspace,
                                                TokenProgress progress = no_token_progress);

/// The relative error of the weights of a matrix that was stored in another type, from at most 256 of its rows:
/// sqrt(sum w_i (x_i - y_i)^2 / sum w_i x_i^2), with the importance w [n_in] of the inputs, or 1 for all if it is
/// empty. Throws ArgumentError if the two differ in shape or hold no real numbers.
[[nodiscard]] RWKV_API double relative_error(const TensorView& original, const TensorView& stored,
                                             std::span<const float> importance);

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/to_text.hpp"
#include "rwkv/eval/comparison.hpp"
#include "rwkv/model.hpp"
#include "rwkv/quant/bit_budget.hpp"
#include "rwkv/quant/cast.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// At most 256 rows of a matrix, as many from each part of it.
[[nodiscard]] inline std::vector<Index> sampled_rows(Index n_rows) {
  const Index n = std::min<Index>(n_rows, 256);
  std::vector<Index> rows;
  for (Index i = 0; i < n; ++i) rows.push_back(i * n_rows / n);
  return rows;
}

[[nodiscard]] inline TensorView matrix_rows(const TensorView& matrix, Index first, Index n) {
  const Index row_bytes = checked_n_bytes(matrix.dtype, {matrix.shape[1]}).value();
  return {matrix.dtype, {n, matrix.shape[1]}, matrix.data + first * row_bytes, matrix.owner};
}

/// The sampled rows of a matrix, copied.
[[nodiscard]] inline TensorView sample(const TensorView& matrix) {
  std::vector<float> values;
  const std::vector<Index> rows = sampled_rows(matrix.shape[0]);
  for (const Index row : rows) {
    const Buffer<float> numbers = read_all<float>(matrix_rows(matrix, row, 1));
    values.insert(values.end(), numbers.begin(), numbers.end());
  }
  return make_tensor({std::ssize(rows), matrix.shape[1]}, values);
}

/// Compares logits [T, n_vocab] after each of the first T tokens of a text; the last token has no next one.
inline void add_window(MatrixView<const float> a, MatrixView<const float> b, std::span<const Token> text,
                       Comparison& result) {
  const auto row = [](MatrixView<const float> logits, Index i) { return logits.rows(i, 1).span(); };
  const Index n = std::min(a.n_rows, std::ssize(text) - 1);
  for (Index i = 0; i < n; ++i) result.add(row(a, i), row(b, i), text[static_cast<std::size_t>(i + 1)]);
}

/// What choose_types needs on its way.
class TypeChooser {
public:
  TypeChooser(const Checkpoint& checkpoint, std::span<const DType> types, const Importance& importance,
              Workspace& workspace)
      : checkpoint_(checkpoint), importance_(importance), workspace_(workspace) {
    for (const TensorSpec& spec : tensor_list(detect(checkpoint))) {
      const TensorView& tensor = checkpoint.at(spec.name);
      const DType rule = stored_dtype(spec, tensor.dtype, DType::q4_0, false);
      const bool is_candidate = tensor.shape == spec.shape && info(tensor.dtype).block_elements == 1;
      if (info(rule).block_elements > 1) add(spec.name, tensor, is_candidate ? types : std::span<const DType>());
    }
  }

  /// Turns errors into divergences.
  void measure(std::span<const Token> text, TokenProgress progress) {
    std::vector<Buffer<float>> logits;
    const Model original(checkpoint_);
    TextWindows windows(original, text);
    while (!windows.rest().empty()) {
      const Sequence window = windows.read(workspace_);
      logits.emplace_back(window.logits.span());
      progress(std::ssize(window.tokens));
    }
    for (TypeChoice& choice : choices_) {
      if (keeps_type(choice)) continue;
      const TypeChoice::Option& smallest = choice.options.front();
      const double kl = divergence(choice.name, smallest.dtype, logits, text, progress);
      const double factor = kl / std::max(smallest.divergence, std::numeric_limits<double>::min());
      for (TypeChoice::Option& option : choice.options) option.divergence *= factor;
    }
  }

  /// Throws ArgumentError if no choice is small enough.
  [[nodiscard]] TensorTypes spend(double bits_per_weight) {
    if (std::ranges::all_of(choices_, [this](const TypeChoice& choice) { return keeps_type(choice); })) {
      throw ArgumentError(
          {.path = checkpoint_.path(),
           .item = "bits per weight",
           .problem = "there is no matrix whose type could be chosen",
           .hint = "Those that are in blocks stay as they are: begin with a model of f32, f16 or bf16."});
    }
    const double smallest = spend_bits(choices_, bits_per_weight);
    if (!(smallest <= bits_per_weight)) refuse_budget(bits_per_weight, smallest);
    TensorTypes result;
    for (const TypeChoice& choice : choices_) result.emplace(choice.name, choice.options[choice.chosen].dtype);
    return result;
  }

private:
  void add(const std::string& name, const TensorView& tensor, std::span<const DType> types) {
    const auto n_bits = [&](DType dtype) { return 8.0 * static_cast<double>(*checked_n_bytes(dtype, tensor.shape)); };
    TypeChoice choice{name, static_cast<double>(tensor.n_elements()), {}};
    TensorView rows;
    const std::span<const float> importance = importance_of(importance_, name);
    for (const DType dtype : types) {
      if (info(dtype).block_elements == 1 || !checked_n_bytes(dtype, tensor.shape)) continue;
      if (rows.data == nullptr) rows = sample(tensor);
      const TensorView stored = cast(rows, dtype, workspace_.threads(), {.importance = importance, .name = name});
      const double error = relative_error(rows, stored, importance);
      choice.options.push_back({dtype, n_bits(dtype), error * error});
    }
    keep_hull(choice.options);
    if (choice.options.empty()) choice.options.push_back({tensor.dtype, n_bits(tensor.dtype), 0});
    choices_.push_back(std::move(choice));
  }

  /// Whether its own type is the only one there is for it.
  [[nodiscard]] bool keeps_type(const TypeChoice& choice) const {
    return choice.options.front().dtype == checkpoint_.at(choice.name).dtype;
  }

  /// The mean over the text if this matrix is stored so.
  [[nodiscard]] double divergence(const std::string& name, DType dtype, const std::vector<Buffer<float>>& logits,
                                  std::span<const Token> text, TokenProgress progress) const {
    const QuantiseOptions options{.importance = importance_of(importance_, name), .name = name};
    const Model changed(checkpoint_.transformed([&](Checkpoint::Entry entry) {
      if (entry.name == name) entry.tensor = cast(entry.tensor, dtype, workspace_.threads(), options);
      return entry;
    }));
    Comparison comparison;
    TextWindows windows(changed, text);
    for (const Buffer<float>& original : logits) {
      const std::span<const Token> rest = windows.rest();
      const Sequence window = windows.read(workspace_);
      add_window({original.data(), window.logits.n_rows, window.logits.n_cols}, window.logits, rest, comparison);
      progress(std::ssize(window.tokens));
    }
    return comparison.result().mean_kl;
  }

  [[noreturn]] void refuse_budget(double wanted, double smallest) const {
    const double thousandths = std::ceil(1000 * smallest);  // rounded up, so that it is a budget that will do
    const double least = (thousandths / 1000 < smallest ? thousandths + 1 : thousandths) / 1000;
    throw ArgumentError({.path = checkpoint_.path(),
                         .item = "bits per weight",
                         .expected = "at least " + to_text(least, 3),
                         .found = to_text(wanted),
                         .hint = "That is the model with its matrices in the smallest types there are; those in "
                                 "blocks stay as they are."});
  }

  const Checkpoint& checkpoint_;
  const Importance& importance_;
  Workspace& workspace_;
  std::vector<TypeChoice> choices_;
};

}  // namespace detail

RWKV_API double relative_error(const TensorView& original, const TensorView& stored,
                               std::span<const float> importance) {
  if (original.shape != stored.shape || original.shape.rank() != 2) {
    throw ArgumentError({.item = "relative error",
                         .expected = "two matrices of one shape",
                         .found = to_string(original.shape) + " and " + to_string(stored.shape)});
  }
  if (!importance.empty() && std::ssize(importance) != original.shape[1]) {
    throw ArgumentError({.item = "importance",
                         .expected = std::to_string(original.shape[1]) + " numbers, one for each input",
                         .found = std::to_string(importance.size())});
  }
  double squares = 0, errors = 0;
  for (const Index row : detail::sampled_rows(original.shape[0])) {
    const Buffer<float> x = read_all<float>(detail::matrix_rows(original, row, 1));
    const Buffer<float> y = read_all<float>(detail::matrix_rows(stored, row, 1));
    for (Index i = 0; i < x.size(); ++i) {
      const double weight = importance.empty() ? 1 : importance[static_cast<std::size_t>(i)];
      const double error = static_cast<double>(x[i]) - y[i];
      squares += weight * x[i] * x[i];
      errors += weight * error * error;
    }
  }
  return squares > 0 ? std::sqrt(errors / squares) : 0;
}

RWKV_API TensorTypes choose_types(const Checkpoint& checkpoint, double bits_per_weight, std::span<const DType> types,
                                  const Importance& importance, std::span<const Token> text, Workspace& workspace,
                                  TokenProgress progress) {
  const auto is_block = [](DType dtype) { return info(dtype).block_elements > 1; };
  if (std::none_of(types.begin(), types.end(), is_block)) {
    throw ArgumentError({.item = "types", .expected = "types of blocks to choose from", .found = "none"});
  }
  if (text.size() < 2) throw ArgumentError({.item = "text", .expected = "at least 2 tokens", .found = "fewer"});
  detail::TypeChooser chooser(checkpoint, types, importance, workspace);
  chooser.measure(text, progress);
  return chooser.spend(bits_per_weight);
}

RWKV_NAMESPACE_END
#endif
