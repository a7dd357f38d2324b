// SPDX-License-Identifier: MIT
// What a computation needs besides its data: threads, kernels, scratch memory.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/matrix.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/core/thread_pool.hpp"
#include "rwkv/kernels/kernels.hpp"

RWKV_NAMESPACE_BEGIN

/// How a Workspace computes.
struct WorkspaceOptions {
  int n_threads = 0;            ///< 0: one for each core this process may use
  std::optional<Isa> isa = {};  ///< the fastest this processor has
  /// Products with weights in blocks (q8_0, q4_k and the like) see activations rounded to 8 bits, in each 32 of them to
  /// multiples of 1/127 of the largest: products of integers are faster. What that changes is of the size of what q8_0
  /// weights change. It is done alike in steps, sequences and batches.
  /// Weights of single numbers (f32, f16, bf16) and computations in double never see rounded activations.
  bool rounded_activations = true;
};

/// Is told of a product in float before it is computed: the stored weights, and the rows x [T, n_in] they meet.
using ProductObserver = std::function<void(const TensorView& weight, MatrixView<const float> x)>;

/// Threads, kernels and scratch memory. One for each thread that computes; it may serve any number of models and
/// states.
///
/// Scratch is kept between calls, so that from the third call of a kind on nothing is allocated.
class Workspace {
public:
  /// Throws UnsupportedError if the processor lacks the instruction set, ArgumentError for a bad number of threads.
  explicit Workspace(const WorkspaceOptions& options = {})
      : Workspace(kernel_table<float>(options.isa.value_or(best_isa())), options) {}
  /// With kernels of one's own, whatever options.isa says.
  explicit Workspace(const KernelTable<float>& kernels, const WorkspaceOptions& options = {})
      : threads_(options.n_threads == 0 ? std::min(n_cores(), ThreadPool::max_threads) : options.n_threads),
        kernels_(kernels),
        rounded_activations_(options.rounded_activations) {}

  [[nodiscard]] ThreadPool& threads() noexcept { return threads_; }
  [[nodiscard]] int n_threads() const noexcept { return threads_.n_threads(); }

  /// The instruction set that float computations use.
  [[nodiscard]] Isa isa() const noexcept { return kernels_.isa; }

  /// Whether products with weights of this type see rounded activations.
  template <class Scalar>
  [[nodiscard]] bool rounds_activations(DType weight) const noexcept {
    return rounded_activations_ && kernels<Scalar>().rounded.multiply[static_cast<std::size_t>(weight)] != nullptr;
  }

  /// For statistics of activations; an empty function ends it.
  void observe_products(ProductObserver observer) { product_observer_ = std::move(observer); }
  [[nodiscard]] const ProductObserver& product_observer() const noexcept { return product_observer_; }

  template <class Scalar>
  [[nodiscard]] const KernelTable<Scalar>& kernels() const noexcept {
    if constexpr (std::is_same_v<Scalar, double>) {
      static const KernelTable<double> table = kernel_table<double>(Isa::scalar);  // compiled only where it is used
      return table;
    } else {
      return kernels_;
    }
  }

  /// Scratch that is taken while a Frame lives is free again when it ends. Frames nest.
  class Frame {
  public:
    explicit Frame(Workspace& workspace) noexcept : workspace_(workspace), used_(workspace.used_) {}
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    ~Frame() { workspace_.release(used_); }

    /// Uninitialised values, 64-byte aligned, until this frame ends.
    template <class T>
    [[nodiscard]] T* take(Index n) {
      return reinterpret_cast<T*>(workspace_.take_bytes(n * static_cast<Index>(sizeof(T))));
    }
    template <class T>
    [[nodiscard]] MatrixView<T> matrix(Index n_rows, Index n_cols) {
      return {take<T>(n_rows * n_cols), n_rows, n_cols};
    }

  private:
    Workspace& workspace_;
    Index used_;
  };

  /// Room for results that outlive every frame, until the next call of results().
  template <class T>
  [[nodiscard]] std::span<T> results(Index n) {
    const Index n_bytes = n * static_cast<Index>(sizeof(T));
    if (results_.size() < n_bytes) results_ = Buffer<std::byte>(n_bytes);
    return {reinterpret_cast<T*>(results_.data()), static_cast<std::size_t>(n)};
  }

  /// Scratch and results held, in bytes.
  [[nodiscard]] Index n_bytes() const noexcept {
    Index sum = results_.size();
    for (const Buffer<std::byte>& chunk : chunks_) sum += chunk.size();
    return sum;
  }

private:
  // A stack over a list of chunks. Positions count through all of them; a chunk with too little room left is skipped.
  // When everything is free again, several chunks become one, made at the next request, that would have held it all.
  std::byte* take_bytes(Index n) {
    constexpr auto alignment = static_cast<Index>(buffer_alignment);
    n = (n + alignment - 1) / alignment * alignment;
    Index chunk_begin = 0;
    for (Buffer<std::byte>& chunk : chunks_) {
      const Index begin = std::max(used_ - chunk_begin, Index{0});
      if (begin + n <= chunk.size()) return use(chunk.data() + begin, chunk_begin + begin + n);
      chunk_begin += chunk.size();
    }
    // Powers of two: scratch that grows from call to call is then allocated a few times only.
    const Index least = std::max(n, chunks_.empty() ? peak_ : chunk_begin);
    chunks_.emplace_back(static_cast<Index>(std::bit_ceil(static_cast<std::size_t>(least))));
    return use(chunks_.back().data(), chunk_begin + n);
  }

  std::byte* use(std::byte* place, Index used) noexcept {
    used_ = used;
    peak_ = std::max(peak_, used_);
    return place;
  }

  void release(Index used) noexcept {
    used_ = used;
    if (used_ == 0 && chunks_.size() > 1) chunks_.clear();
  }

  ThreadPool threads_;
  KernelTable<float> kernels_;
  bool rounded_activations_;
  ProductObserver product_observer_;
  std::vector<Buffer<std::byte>> chunks_;
  Buffer<std::byte> results_;
  Index used_ = 0;
  Index peak_ = 0;
};

RWKV_NAMESPACE_END
