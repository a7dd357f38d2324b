// SPDX-License-Identifier: MIT
// Where layers get their weights from. What the constructors of a model's layers ask for is the list of its tensors: it
// serves loading, checking, counting and making models, and there is no second list.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/buffer.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"

RWKV_NAMESPACE_BEGIN

enum class TensorRole { vector, matrix, embedding };

/// A tensor that a model needs.
struct TensorSpec {
  std::string name;
  Shape shape;
  TensorRole role;
};

/// Gives tensors of a checkpoint by name, checked, and keeps the list of what was asked for.
///
/// Without a checkpoint it gives empty ones: that is how the list of a model is made that does not exist yet.
class TensorSource {
public:
  explicit TensorSource(const Checkpoint* checkpoint) : checkpoint_(checkpoint) {}

  [[nodiscard]] const std::vector<TensorSpec>& asked() const noexcept { return asked_; }

  /// A vector of n values in any shape ([n], [1, 1, n], ...), converted. `official` is the shape it has in new files.
  /// Throws ModelError naming the tensor if it is missing, has another size or holds no real numbers.
  template <class Scalar>
  [[nodiscard]] Buffer<Scalar> vector(const std::string& name, Shape official) {
    const Index n = official.checked_n_elements().value();
    const TensorView* const tensor = ask(name, official, TensorRole::vector);
    if (tensor == nullptr) return Buffer<Scalar>(n);
    if (tensor->n_elements() != n) wrong_shape(name, to_string(official), *tensor);
    return read_all<Scalar>(*tensor);
  }

  /// A weight matrix [n_out, n_in], in place. Throws ModelError as above.
  [[nodiscard]] Linear matrix(const std::string& name, Index n_out, Index n_in) {
    return Linear(two_dimensional(name, {n_out, n_in}, TensorRole::matrix));
  }

  /// The table of embeddings [n_vocab, n_embd], in place. Throws ModelError as above.
  [[nodiscard]] TensorView embedding(const std::string& name, Index n_vocab, Index n_embd) {
    return two_dimensional(name, {n_vocab, n_embd}, TensorRole::embedding);
  }

  /// `name`.weight and `name`.bias. Throws ModelError as above.
  template <class Scalar>
  [[nodiscard]] LayerNorm<Scalar> layer_norm(const std::string& name, Index n) {
    Buffer<Scalar> weight = vector<Scalar>(name + ".weight", {n});
    return {std::move(weight), vector<Scalar>(name + ".bias", {n})};
  }

private:
  const TensorView* ask(const std::string& name, const Shape& shape, TensorRole role) {
    asked_.push_back({name, shape, role});
    if (checkpoint_ == nullptr) return nullptr;
    const TensorView& tensor = checkpoint_->at(name);
    if (!info(tensor.dtype).is_real) {
      throw ModelError({.path = checkpoint_->path(),
                        .item = tensor_item(name),
                        .expected = "real numbers",
                        .found = std::string(rwkv::name(tensor.dtype))});
    }
    return &tensor;
  }

  TensorView two_dimensional(const std::string& name, const Shape& shape, TensorRole role) {
    const TensorView* const tensor = ask(name, shape, role);
    if (tensor == nullptr) return {DType::f32, shape, nullptr, nullptr};
    if (tensor->shape != shape) wrong_shape(name, to_string(shape), *tensor);
    return *tensor;
  }

  [[noreturn]] void wrong_shape(const std::string& name, const std::string& expected, const TensorView& tensor) const {
    throw ModelError({.path = checkpoint_->path(),
                      .item = tensor_item(name),
                      .expected = "shape " + expected,
                      .found = to_string(tensor.shape)});
  }

  const Checkpoint* checkpoint_;
  std::vector<TensorSpec> asked_;
};

RWKV_NAMESPACE_END
