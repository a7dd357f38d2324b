// SPDX-License-Identifier: MIT
// A model in another type, with an adapter merged or a State attached: planned, for any of the writers.
#pragma once

#include <optional>
#include <string>

#include "rwkv/arch/lora.hpp"
#include "rwkv/arch/storage_rule.hpp"
#include "rwkv/convert/input_moments.hpp"
#include "rwkv/core/dtype.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/core/thread_pool.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/planned_tensor.hpp"
#include "rwkv/quant/quantise.hpp"

RWKV_NAMESPACE_BEGIN

/// What a conversion changes; without options, nothing.
struct ConvertOptions {
  std::optional<DType> dtype = {};  ///< what the weights are stored in, see stored_dtype; nothing: each in its own
  TensorTypes types = {};           ///< what single tensors are stored in, instead; see choose_types
  const Importance* importance = nullptr;  ///< for the search of the quantisers, see measure_importance
  InputMoments* moments = nullptr;         ///< of the checkpoint, for their error feedback, which takes its time
  const Lora* lora = nullptr;              ///< merged, in f32 and before anything is rounded
  const Checkpoint* state = nullptr;       ///< a tuned State, which becomes the beginning of every new State
};

/// The tensors of a model as the options want them, to be made one by one when they are written; vectors are looked at
/// now. All tensors of the file are there, also those that are not part of the model; with moments in the order of the
/// layers, or else in that of the file.
///
/// Metadata are those of the checkpoint, and the fingerprint, so that States of the original go on with a copy in
/// another type. Merging and attaching make another model: it has a fingerprint of its own.
///
/// The checkpoint, what the options point to and the threads must live until the last tensor is made.
/// Throws ModelError and UnsupportedError as Model does, ModelError for an adapter or a State of another model,
/// ArgumentError for a type that no numbers have, or of blocks that rows are no whole ones of. What makes the tensors
/// throws ModelError for numbers that do not fit.
[[nodiscard]] RWKV_API PlannedFile plan_conversion(const Checkpoint& checkpoint, const ConvertOptions& options,
                                                   ThreadPool& threads);

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/fingerprint.hpp"
#include "rwkv/arch/network.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/arch/time_state.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/sorted_order.hpp"
#include "rwkv/io/planned_change.hpp"
#include "rwkv/quant/cast.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Whether no number changes in the type; false for types of blocks.
[[nodiscard]] inline bool is_exact_in(const TensorView& tensor, DType dtype, ThreadPool& threads) {
  if (tensor.dtype == dtype) return true;
  if (info(dtype).block_elements != 1 || !info(dtype).is_real || !info(tensor.dtype).is_real) return false;
  const Buffer<double> values = read_all<double>(tensor);
  // cast would refuse these.
  const auto is_beyond_f16 = [](double x) { return std::isfinite(x) && std::abs(x) > 65504; };
  if (dtype == DType::f16 && std::any_of(values.begin(), values.end(), is_beyond_f16)) return false;
  const Buffer<double> found = read_all<double>(cast(tensor, dtype, threads));
  return std::equal(values.begin(), values.end(), found.begin());  // false for NaN, too
}

/// Those outside of layers after them: the order in which a model reads a text once for all moments.
[[nodiscard]] inline std::vector<PlannedTensor> in_order_of_layers(const std::vector<PlannedTensor>& tensors) {
  const auto layer_of = [](const PlannedTensor& tensor) {
    const auto parsed = parse_layer_name(tensor.name);
    return parsed ? parsed->layer : max_layer;
  };
  return sorted_copy<PlannedTensor>(tensors, [&](const auto& a, const auto& b) { return layer_of(a) < layer_of(b); });
}

/// The plan of a model, tensor by tensor.
class Conversion {
public:
  Conversion(const Checkpoint& checkpoint, const ConvertOptions& options, ThreadPool& threads)
      : checkpoint_(checkpoint), options_(options), threads_(threads) {}

  [[nodiscard]] PlannedFile plan() const {
    StateLayout layout;
    Construction construction{&checkpoint_, detect(checkpoint_), layout};
    static_cast<void>(make_network<float>(Builder(construction)));
    refuse_unknown_tensors(checkpoint_, construction);
    std::unordered_map<std::string_view, TensorSpec> specs;
    for (const TensorSpec& spec : construction.asked) specs.emplace(spec.name, spec);
    for (const std::string& name : construction.ignored) {  // of no use, and yet in the types of all others
      if (const TensorView* const tensor = checkpoint_.find(name)) {
        specs.emplace(name,
                      TensorSpec{name, tensor->shape, is_low_rank(name) ? TensorRole::by_input : TensorRole::vector});
      }
    }
    check_dtype();
    for (const auto& [name, dtype] : options_.types) static_cast<void>(checkpoint_.at(name));
    if (options_.lora != nullptr) options_.lora->check(checkpoint_);

    PlannedFile result{{}, checkpoint_.metadata()};
    for (const Checkpoint::Entry& entry : checkpoint_.entries()) {
      const bool is_replaced = options_.state != nullptr && options_.state->contains(entry.name);
      if (!is_replaced) result.tensors.push_back(planned_tensor(entry, specs));
    }
    if (options_.state != nullptr) attach_state(construction.config, result);
    if (options_.moments != nullptr) result.tensors = in_order_of_layers(result.tensors);
    if (options_.state == nullptr && options_.lora == nullptr) {
      result.metadata[std::string(fingerprint_key)] = model_fingerprint(checkpoint_, construction);
    } else {
      result.metadata.erase(std::string(fingerprint_key));
    }
    return result;
  }

private:
  /// Before anything is written: whether there are numbers of that type, and somebody who makes them.
  void check_dtype() const {
    if (!options_.dtype) return;
    const Index row = info(*options_.dtype).block_elements;
    static_cast<void>(
        cast(make_tensor({1, row}, std::vector<float>(static_cast<std::size_t>(row))), *options_.dtype, threads_));
  }

  /// `specs` tells what the tensors of the model are; others stay as they are.
  [[nodiscard]] PlannedTensor planned_tensor(const Checkpoint::Entry& entry,
                                             const std::unordered_map<std::string_view, TensorSpec>& specs) const {
    const TensorView& tensor = options_.lora == nullptr ? entry.tensor : options_.lora->base(entry);
    const auto found = specs.find(entry.name);
    PlannedTensor result = planned(entry.name, tensor);
    if (found == specs.end() || !info(tensor.dtype).is_real) return result;
    const TensorSpec& spec = found->second;
    const bool is_exact =
        options_.dtype && spec.role == TensorRole::vector && is_exact_in(tensor, *options_.dtype, threads_);
    // sparse_channel_mix stores these by input; files of others have them by output.
    const bool is_by_input = spec.role == TensorRole::sparse && tensor.shape != spec.shape;
    result.dtype = options_.dtype ? stored_dtype(spec, tensor.dtype, *options_.dtype, is_exact) : tensor.dtype;
    if (const auto chosen = options_.types.find(entry.name); chosen != options_.types.end()) {
      result.dtype = chosen->second;
      check_rows(result);
    }
    // Where columns are the inputs, what is known of them says nothing about a block; and an embedding has none, even
    // if its numbers are those of the head.
    const bool has_inputs = !is_by_input && spec.role != TensorRole::embedding;
    result.make = [this, name = entry.name, tensor, dtype = result.dtype, has_inputs] {
      return made(name, tensor, dtype, has_inputs);
    };
    return is_by_input && info(result.dtype).block_elements == 1 ? turned(std::move(result)) : result;
  }

  void check_rows(const PlannedTensor& tensor) const {
    if (info(tensor.dtype).is_real && checked_n_bytes(tensor.dtype, tensor.shape)) return;
    const std::string block = std::to_string(info(tensor.dtype).block_elements);
    throw ArgumentError({.path = checkpoint_.path(),
                         .item = tensor_item(tensor.name),
                         .problem = "cannot be stored as " + std::string(rwkv::name(tensor.dtype)),
                         .expected = "real numbers, in rows of a multiple of " + block,
                         .found = "shape " + to_string(tensor.shape)});
  }

  /// Nothing if the options want none, for blocks that stay, and for what the model does not multiply by.
  [[nodiscard]] std::optional<ErrorFeedback> feedback_for(const std::string& name, DType dtype) const {
    const TensorView& weight = checkpoint_.at(name);
    const bool stays = weight.dtype == dtype && options_.lora == nullptr;
    if (options_.moments == nullptr || info(dtype).block_elements == 1 || stays) return std::nullopt;
    auto moments = options_.moments->take(weight);
    if (!moments) return std::nullopt;
    return ErrorFeedback(*std::move(moments), weight.shape[weight.shape.rank() - 1]);
  }

  /// has_inputs: the weights of a row are for one input each.
  [[nodiscard]] TensorView made(const std::string& name, const TensorView& tensor, DType dtype, bool has_inputs) const {
    QuantiseOptions quantising{.name = name};
    std::optional<ErrorFeedback> feedback;
    try {
      if (has_inputs) {
        if (options_.importance != nullptr) quantising.importance = importance_of(*options_.importance, name);
        feedback = feedback_for(name, dtype);
        if (feedback) quantising.feedback = &*feedback;
      }
      if (options_.lora == nullptr || !options_.lora->changes(name)) return cast(tensor, dtype, threads_, quantising);
      return options_.lora->merged(name, tensor, dtype, threads_, quantising);
    } catch (const ArgumentError& error) {  // which knows of no names
      const ErrorDetails details = error.details();
      throw ModelError({.path = checkpoint_.path(),
                        .item = tensor_item(name),
                        .problem = "cannot be stored as " + std::string(rwkv::name(dtype)),
                        .expected = details.expected,
                        .found = details.found,
                        .hint = details.hint});
    }
  }

  void attach_state(const Config& config, PlannedFile& result) const {
    const Shape shape{config.n_head, config.head_size, config.head_size};
    const bool has_matrices = config.generation >= Generation::v5_0 && config.n_head > 0;
    for (Index layer = 0; has_matrices && layer < config.n_layer; ++layer) {
      const std::string name = "blocks." + std::to_string(layer) + ".att." + std::string(time_state_name);
      const TensorView& tensor = options_.state->at(name);
      if (tensor.shape != shape || !info(tensor.dtype).is_real) {
        throw ModelError({.path = options_.state->path(),
                          .item = tensor_item(name),
                          .expected = "real numbers of shape " + to_string(shape),
                          .found = std::string(rwkv::name(tensor.dtype)) + " " + to_string(tensor.shape)});
      }
      result.tensors.push_back(planned(name, tensor));
    }
    if (has_matrices && static_cast<Index>(options_.state->entries().size()) == config.n_layer) return;
    throw ModelError({.path = options_.state->path(),
                      .problem = "is no tuned State of this model",
                      .expected = has_matrices ? "the time_state of " + std::to_string(config.n_layer) + " layers"
                                               : "a model of RWKV-5 or later",
                      .found = summary(*options_.state)});
  }

  const Checkpoint& checkpoint_;
  ConvertOptions options_;
  ThreadPool& threads_;
};

}  // namespace detail

RWKV_API PlannedFile plan_conversion(const Checkpoint& checkpoint, const ConvertOptions& options, ThreadPool& threads) {
  // The functions that make the tensors share it.
  const auto conversion = std::make_shared<detail::Conversion>(checkpoint, options, threads);
  PlannedFile plan = conversion->plan();
  for (PlannedTensor& tensor : plan.tensors) {
    tensor.make = [conversion, make = std::move(tensor.make)] { return make(); };
  }
  return plan;
}

RWKV_NAMESPACE_END
#endif
