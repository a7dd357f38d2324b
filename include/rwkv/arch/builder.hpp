// SPDX-License-Identifier: MIT
// What the constructors of layers build from: tensors by name, and room in the State. What they ask for is the list of
// a model's tensors: it serves loading, checking, counting and making models, and there is no second list.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/arch/time_state.hpp"
#include "rwkv/core/buffer.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/state.hpp"

RWKV_NAMESPACE_BEGIN

enum class TensorRole {
  vector,
  matrix,    ///< [n_out, n_in]
  sparse,    ///< [n_out, n_in], whose inputs are often zero; may be stored by input, see arch/sparse.hpp
  by_input,  ///< [n_in, n_out], or a stack of such
  embedding  ///< [n_vocab, n], of which a token reads a row
};

/// A tensor that a model needs.
struct TensorSpec {
  std::string name;
  Shape shape;  ///< as in new files of the official programs
  TensorRole role;
};

/// Everything that a model is built from, and the list of the tensors that its layers asked for.
///
/// Without a checkpoint the tensors are empty: that is how the list of a model is made that does not exist yet.
struct Construction {
  const Checkpoint* checkpoint;
  Config config;
  StateLayout& layout;
  bool interleaves = false;  ///< matrices of types for which can_interleave()
  std::vector<TensorSpec> asked = {};
  std::vector<std::string> ignored = {};  ///< known, but not needed
};

/// A place in a model under construction: all names begin with its prefix. Cheap to copy.
///
/// Tensors are checked: ModelError names the tensor if it is missing, has another shape or holds no real numbers.
class Builder {
public:
  explicit Builder(Construction& construction, std::string prefix = "", Index layer = 0)
      : construction_(&construction), prefix_(std::move(prefix)), layer_(layer) {}

  /// The place `part` further down: "att." in "blocks.0." is "blocks.0.att.".
  [[nodiscard]] Builder at(std::string_view part) const {
    return Builder(*construction_, prefix_ + std::string(part), layer_);
  }
  /// The place of layer i: "blocks.i.".
  [[nodiscard]] Builder layer(Index i) const {
    return Builder(*construction_, prefix_ + "blocks." + std::to_string(i) + ".", i);
  }

  [[nodiscard]] const Config& config() const noexcept { return construction_->config; }
  [[nodiscard]] Index layer() const noexcept { return layer_; }

  /// A vector of as many values as `official` has, in any shape ([n], [1, 1, n], ...), converted.
  template <class Scalar>
  [[nodiscard]] Buffer<Scalar> vector(std::string_view name, const Shape& official) const {
    const Index n = official.checked_n_elements().value();
    const TensorView* const tensor = ask(name, official, TensorRole::vector);
    if (tensor == nullptr) return Buffer<Scalar>(n);
    if (tensor->n_elements() != n) wrong_shape(name, official, *tensor);
    return read_all<Scalar>(*tensor);
  }

  /// The share mu of the current token in token shift, x mu + previous (1 - mu), of the product called `product` ("k",
  /// "v", ...). RWKV-3 to 5 store it as time_mix_*, RWKV-6 stores 1 - mu as time_maa_*, RWKV-7 as x_*; RWKV-2 has one
  /// time_mix for all products of a layer.
  template <class Scalar>
  [[nodiscard]] Buffer<Scalar> token_mix(std::string_view product) const {
    return token_mix<Scalar>(product, config().n_embd);
  }
  /// The same for the shift of rows of another width.
  template <class Scalar>
  [[nodiscard]] Buffer<Scalar> token_mix(std::string_view product, Index width) const {
    const bool is_complement = config().generation >= Generation::v6;
    std::string name = config().generation >= Generation::v7 ? "x_" : is_complement ? "time_maa_" : "time_mix_";
    name = config().generation == Generation::v2 ? "time_mix" : name.append(product);
    Buffer<Scalar> mix = vector<Scalar>(name, {1, 1, width});
    if (is_complement) {
      for (Scalar& mu : mix.span()) mu = 1 - mu;
    }
    return mix;
  }

  /// A weight matrix [n_out, n_in], in place unless it is to be interleaved.
  [[nodiscard]] Linear matrix(std::string_view name, Index n_out, Index n_in) const {
    return linear(stored_matrix(name, {n_out, n_in}, TensorRole::matrix));
  }

  /// A weight matrix [n_out, n_in], in place, whose inputs are often zero. The file may hold it by input, [n_in,
  /// n_out].
  [[nodiscard]] Linear sparse_matrix(std::string_view name, Index n_out, Index n_in) const {
    const Shape shape{n_out, n_in}, by_input{n_in, n_out};
    const TensorView* const tensor = ask(name, shape, TensorRole::sparse);
    if (tensor == nullptr) return Linear(TensorView{DType::f32, shape, nullptr, nullptr});
    if (tensor->shape == shape) return linear(*tensor);
    if (tensor->shape == by_input) return Linear::by_input(*tensor);
    wrong_shape(name, shape, *tensor);
  }

  /// A weight matrix with a bias: `name`.weight and `name`.bias.
  [[nodiscard]] Linear biased(std::string_view name, Index n_out, Index n_in) const {
    const Builder part = at(std::string(name) + ".");
    TensorView weight = part.stored_matrix("weight", {n_out, n_in}, TensorRole::matrix);
    const TensorView* const bias = part.ask("bias", {n_out}, TensorRole::vector);
    if (bias == nullptr) return Linear(std::move(weight));
    if (bias->n_elements() != n_out) part.wrong_shape("bias", {n_out}, *bias);
    return Linear(std::move(weight), *bias);
  }

  /// A weight matrix that files hold as [n_in, n_out], in place.
  [[nodiscard]] Linear by_input(std::string_view name, Index n_in, Index n_out) const {
    return Linear::by_input(stored_matrix(name, {n_in, n_out}, TensorRole::by_input));
  }

  /// n_slices weight matrices that files hold as [n_slices, n_in, n_out], in place.
  [[nodiscard]] std::vector<Linear> slices_by_input(std::string_view name, Index n_slices, Index n_in,
                                                    Index n_out) const {
    const TensorView stack = stored_matrix(name, {n_slices, n_in, n_out}, TensorRole::by_input);
    const Index n_bytes = stack.data == nullptr ? 0 : stack.n_bytes() / n_slices;
    std::vector<Linear> slices;
    for (Index i = 0; i < n_slices; ++i) {
      slices.push_back(Linear::by_input({stack.dtype, {n_in, n_out}, stack.data + i * n_bytes, stack.owner}));
    }
    return slices;
  }

  /// The columns of a weight matrix that files hold as [n_in, n_slices * n_out], each slice of n_out a matrix of its
  /// own, in place.
  [[nodiscard]] std::vector<Linear> columns_by_input(std::string_view name, Index n_in, Index n_slices,
                                                     Index n_out) const {
    const TensorView stored = stored_matrix(name, {n_in, n_slices * n_out}, TensorRole::by_input);
    std::vector<Linear> slices;
    for (Index i = 0; i < n_slices; ++i) slices.push_back(Linear::by_input(stored, i * n_out, n_out));
    return slices;
  }

  /// A table [n_vocab, n] with a row for each token, in place.
  [[nodiscard]] TensorView table(std::string_view name, Index n) const {
    return stored_matrix(name, {config().n_vocab, n}, TensorRole::embedding);
  }

  /// `name`.weight and `name`.bias.
  template <class Scalar>
  [[nodiscard]] LayerNorm<Scalar> layer_norm(std::string_view name, Index n) const {
    const Builder part = at(std::string(name) + ".");
    Buffer<Scalar> weight = part.vector<Scalar>("weight", {n});
    return {std::move(weight), part.vector<Scalar>("bias", {n})};
  }

  /// A normalisation of each of n_groups parts of n channels: `name`.weight and `name`.bias.
  template <class Scalar>
  [[nodiscard]] GroupNorm<Scalar> group_norm(std::string_view name, Index n, Index n_groups, double eps) const {
    const Builder part = at(std::string(name) + ".");
    Buffer<Scalar> weight = part.vector<Scalar>("weight", {n});
    return {std::move(weight), part.vector<Scalar>("bias", {n}), n_groups, static_cast<Scalar>(eps)};
  }

  /// Says that a tensor may be there and is not needed.
  void ignore(std::string_view name) const { construction_->ignored.push_back(prefix_ + std::string(name)); }

  /// Adds a tensor to the State and returns its offset; see StateLayout::add.
  Index state(std::string_view name, const Shape& shape, double initial = 0, Index limit = 0) const {
    return construction_->layout.add(prefix_ + std::string(name), shape, initial, limit);
  }

  /// The same for a tensor of the whole model, without the prefix: the first layer that asks for it adds it.
  Index shared_state(std::string_view name, const Shape& shape, double initial = 0, Index limit = 0) const {
    for (const StateLayout::Entry& entry : construction_->layout.entries()) {
      if (entry.name == name) return entry.offset;
    }
    return construction_->layout.add(std::string(name), shape, initial, limit);
  }

  /// Adds the matrices of WKV to the State, which begin as `time_state` where the checkpoint has it.
  Index wkv_state() const {
    check_heads(config());
    const Checkpoint* const checkpoint = construction_->checkpoint;
    const Shape shape{config().n_head, config().head_size, config().head_size};
    const Index offset = state(time_state_target, shape);
    if (checkpoint == nullptr || !checkpoint->contains(prefix_ + std::string(time_state_name))) return offset;
    const TensorView tuned = stored_matrix(time_state_name, shape, TensorRole::matrix);
    construction_->layout.set_initial(read_all<double>(from_time_state(tuned, config().generation)).span());
    return offset;
  }

private:
  const TensorView* ask(std::string_view name, const Shape& shape, TensorRole role) const {
    const std::string full = prefix_ + std::string(name);
    // RWKV-2 asks for its time_mix once for each product, in a row.
    std::vector<TensorSpec>& asked = construction_->asked;
    if (asked.empty() || asked.back().name != full) asked.push_back({full, shape, role});
    if (construction_->checkpoint == nullptr) return nullptr;
    const TensorView& tensor = construction_->checkpoint->at(full);
    if (!info(tensor.dtype).is_real) {
      throw ModelError({.path = construction_->checkpoint->path(),
                        .item = tensor_item(full),
                        .expected = "real numbers",
                        .found = rwkv::name(tensor.dtype)});
    }
    return &tensor;
  }

  Linear linear(TensorView weight) const {
    const bool can = weight.data != nullptr && can_interleave(weight.dtype) && weight.shape[0] % interleaved_rows == 0;
    return construction_->interleaves && can ? Linear::interleaved(weight) : Linear(std::move(weight));
  }

  TensorView stored_matrix(std::string_view name, const Shape& shape, TensorRole role) const {
    const TensorView* const tensor = ask(name, shape, role);
    if (tensor == nullptr) return {DType::f32, shape, nullptr, nullptr};
    if (tensor->shape != shape) wrong_shape(name, shape, *tensor);
    return *tensor;
  }

  [[noreturn]] void wrong_shape(std::string_view name, const Shape& expected, const TensorView& tensor) const {
    throw ModelError({.path = construction_->checkpoint->path(),
                      .item = tensor_item(prefix_ + std::string(name)),
                      .expected = "shape " + to_string(expected),
                      .found = to_string(tensor.shape)});
  }

  Construction* construction_;
  std::string prefix_;
  Index layer_;
};

RWKV_NAMESPACE_END
