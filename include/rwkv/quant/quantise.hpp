// SPDX-License-Identifier: MIT
// Matrices to the block formats of ggml, a range of rows at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/subnormals.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/core/thread_pool.hpp"
#include "rwkv/core/to_text.hpp"
#include "rwkv/quant/encode.hpp"
#include "rwkv/quant/error_feedback.hpp"
#include "rwkv/quant/feedback_rows.hpp"

RWKV_NAMESPACE_BEGIN

/// How the scales of blocks are chosen.
enum class ScaleRule {
  /// From the largest number, or from the smallest to the largest: fast. q8_0, q4_0, q4_1, q5_0 and q5_1 are byte for
  /// byte those of ggml's reference quantisers.
  plain,
  /// For a small error: in each block, sum over i of w_i (x_i - decoded_i)^2 is at most that of the plain rule.
  search
};

/// How numbers are rounded to blocks.
struct QuantiseOptions {
  ScaleRule rule = ScaleRule::search;
  /// w [n_in], shared by all rows: how much the error of each input counts, such as the mean square of its activations
  /// over a text. Only ratios matter; what is less than 2^-20 of the mean counts as that. None: all count the same,
  /// which is right for inputs of about one size. Where a few inputs are far larger than the others, a search that does
  /// not know it can make outputs worse than the plain rule does.
  std::span<const float> importance = {};
  std::string_view name = {};  ///< of the tensor, for messages
  /// Rounds for the error of outputs, weight after weight: scales are searched on what weights have become, with the
  /// importance it tells, whatever `rule` and `importance` are. It must live as long as the quantiser.
  const ErrorFeedback* feedback = nullptr;
};

/// By the name of a weight matrix [n_out, n_in]: the mean square of each of its inputs over a text, [n_in]. It is the
/// `importance` of QuantiseOptions: an error of a weight changes the output by itself times the input.
using Importance = std::map<std::string, std::vector<float>>;

/// That of the tensor of this name; empty if there is none.
[[nodiscard]] inline std::span<const float> importance_of(const Importance& importance, const std::string& name) {
  const auto found = importance.find(name);
  return found == importance.end() ? std::span<const float>() : std::span(found->second);
}

namespace detail {

/// n numbers of a row from `begin` on, which is a multiple of 256.
inline void read_piece(DType dtype, const std::byte* row, Index begin, Index n, float* to) noexcept {
  const auto each = [&](auto type) {
    for (Index i = 0; i < n; ++i) to[i] = read_element<float>(type, row, begin + i);
  };
  switch (dtype) {  // so that the loops are of one type
    case DType::f32: return each(std::integral_constant<DType, DType::f32>{});
    case DType::f16: return each(std::integral_constant<DType, DType::f16>{});
    case DType::bf16: return each(std::integral_constant<DType, DType::bf16>{});
    case DType::f64: return each(std::integral_constant<DType, DType::f64>{});
    default:
      with_block(dtype, [&]<class Block>(Block) {
        expand_blocks<Block>(row + begin / Block::size * static_cast<Index>(sizeof(Block)), n, to);
      });
  }
}

/// Whether all are numbers whose scales f16 can hold.
[[nodiscard]] inline bool are_in_range(const float (&x)[piece_size]) noexcept {
  IntLanes are = IntLanes{} - 1;
  for (Index i = 0; i < piece_size; i += n_lanes) are &= magnitude(load_lanes(x + i)) <= all_lanes(max_f16);
  return (are[0] & are[1] & are[2] & are[3]) != 0;
}

}  // namespace detail

/// Makes rows of blocks from rows of real numbers, all of the same length n_in. All methods are const; threads may
/// share one.
class Quantiser {
public:
  /// For rows of n_in numbers. Throws ArgumentError unless `dtype` is a type of blocks, n_in a multiple of its block,
  /// and the importance empty or n_in finite numbers that are not negative.
  Quantiser(DType dtype, Index n_in, const QuantiseOptions& options = {});

  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] Index n_in() const noexcept { return n_in_; }
  [[nodiscard]] Index row_bytes() const noexcept {
    return n_in_ / info(dtype_).block_elements * info(dtype_).block_bytes;
  }

  /// The given rows of a tensor [..., n_in] to `blocks`, [rows.size() * row_bytes()]. A row depends on nothing but
  /// itself, so neither pieces nor threads change the result. Allocates nothing, with feedback 128 n_in bytes a thread.
  ///
  /// Throws ArgumentError if the tensor has rows of another length, holds integers, or has not these rows; if `blocks`
  /// has another size; and for a number that is not finite or is beyond +-65504, the largest of f16. Then some of
  /// `blocks` may be written already.
  void quantise(const TensorView& tensor, Range rows, std::span<std::byte> blocks, ThreadPool& threads) const;

  /// The same by the calling thread for rows that are at hand; `first` is the number of the first one, for messages.
  void quantise(std::span<const float> numbers, Index first, std::span<std::byte> blocks) const;

private:
  [[noreturn]] void fail(const std::string& part, std::string_view expected, std::string_view found,
                         std::string_view hint = {}) const;
  template <class Block>
  void quantise_row(DType from, const std::byte* numbers, Index row, std::byte* to) const;
  void quantise_with_feedback(const TensorView& tensor, Range rows, std::span<std::byte> blocks,
                              ThreadPool& threads) const;
  void quantise_with_feedback(std::span<const float> numbers, Index first, std::span<std::byte> blocks) const;
  void check_numbers(const float (&x)[detail::piece_size], Index row, Index begin, Index n) const;

  DType dtype_;
  Index n_in_;
  bool search_;
  const ErrorFeedback* feedback_;
  std::string name_;
  Buffer<float> weights_;  // in lanes, whole pieces
};

inline void Quantiser::fail(const std::string& part, std::string_view expected, std::string_view found,
                            std::string_view hint) const {
  const std::string item = name_.empty() ? "quantiser" : tensor_item(name_);
  throw ArgumentError(
      {.item = part.empty() ? item : item + ", " + part, .expected = expected, .found = found, .hint = hint});
}

inline Quantiser::Quantiser(DType dtype, Index n_in, const QuantiseOptions& options)
    : dtype_(dtype),
      n_in_(n_in),
      search_(options.rule == ScaleRule::search),
      feedback_(options.feedback),
      name_(options.name) {
  const Index block = info(dtype).block_elements;
  if (block == 1) fail("", "a type of blocks, q8_0 to q6_k", rwkv::name(dtype));
  if (n_in < 0 || n_in % block != 0) {
    fail("", "rows of a multiple of " + std::to_string(block) + " numbers for " + std::string(rwkv::name(dtype)),
         std::to_string(n_in), block == 32 ? "" : "Types with blocks of 32 may fit.");
  }
  if (feedback_ != nullptr && feedback_->n_in() != n_in) {
    fail("feedback", "of " + std::to_string(n_in) + " inputs", std::to_string(feedback_->n_in()));
  }
  const std::span<const float> given = feedback_ == nullptr ? options.importance : feedback_->weights();
  if (!given.empty() && std::ssize(given) != n_in) {
    fail("importance", std::to_string(n_in) + " numbers", std::to_string(given.size()));
  }
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i] >= 0 && std::isfinite(given[i])) continue;
    fail("importance of input " + std::to_string(i), "a finite number, not negative", detail::to_text(given[i]));
  }
  weights_ = Buffer<float>((n_in + detail::piece_size - 1) / detail::piece_size * detail::piece_size);
  std::fill(weights_.begin(), weights_.end(), 1.0f);
  const double sum = std::accumulate(given.begin(), given.end(), 0.0);
  if (!(sum > 0)) return;
  Index n_group = 0;
  with_block(dtype, [&]<class Block>(Block) { n_group = detail::scale_group<Block>; });
  for (Index i = 0; i < n_in; ++i) {
    const double weight = given[static_cast<std::size_t>(i)] * (static_cast<double>(n_in) / sum);
    weights_[detail::lane_position(i, n_group)] = static_cast<float>(std::max(weight, 0x1p-20));
  }
}

inline void Quantiser::check_numbers(const float (&x)[detail::piece_size], Index row, Index begin, Index n) const {
  if (detail::are_in_range(x)) return;
  const auto bad = std::find_if(x, x + n, [](float value) { return !(std::abs(value) <= detail::max_f16); }) - x;
  fail("row " + std::to_string(row) + ", column " + std::to_string(begin + bad), "numbers of up to 65504",
       detail::to_text(x[bad]), "Keep this tensor in f32 or bf16.");
}

template <class Block>
void Quantiser::quantise_row(DType from, const std::byte* numbers, Index row, std::byte* to) const {
  for (Index begin = 0; begin < n_in_; begin += detail::piece_size) {
    const Index n = std::min(n_in_ - begin, detail::piece_size);
    float x[detail::piece_size] = {};
    detail::read_piece(from, numbers, begin, n, x);
    check_numbers(x, row, begin, n);
    Block blocks[detail::piece_size / Block::size];
    detail::quantise_piece(x, weights_.data() + begin, n, search_, blocks);
    std::memcpy(to + begin / Block::size * static_cast<Index>(sizeof(Block)), blocks,
                static_cast<std::size_t>(n / Block::size) * sizeof(Block));
  }
}

inline void Quantiser::quantise(const TensorView& tensor, Range rows, std::span<std::byte> blocks,
                                ThreadPool& threads) const {
  const Shape& shape = tensor.shape;
  if (!info(tensor.dtype).is_real || shape.rank() == 0 || shape[shape.rank() - 1] != n_in_) {
    fail("", "rows of " + std::to_string(n_in_) + " real numbers",
         std::string(rwkv::name(tensor.dtype)) + " " + to_string(shape));
  }
  const Index n_rows = n_in_ == 0 ? 0 : tensor.n_elements() / n_in_;
  if (rows.begin < 0 || rows.begin > rows.end || rows.end > n_rows) {
    fail("", "rows within 0 .. " + std::to_string(n_rows),
         std::to_string(rows.begin) + " .. " + std::to_string(rows.end));
  }
  if (std::ssize(blocks) != rows.size() * row_bytes()) {
    fail("", "room for " + std::to_string(rows.size() * row_bytes()) + " bytes", std::to_string(blocks.size()));
  }
  if (feedback_ != nullptr) return quantise_with_feedback(tensor, rows, blocks, threads);
  const Index from_bytes = checked_n_bytes(tensor.dtype, {n_in_}).value_or(0);
  with_block(dtype_, [&]<class Block>(Block) {
    threads.run_split(rows.size(), 1, [&](Range share, int) {
      const FlushSubnormals mode;  // the pool's workers do
      for (Index i = share.begin; i < share.end; ++i) {
        const Index row = rows.begin + i;
        quantise_row<Block>(tensor.dtype, tensor.data + row * from_bytes, row, blocks.data() + i * row_bytes());
      }
    });
  });
}

inline void Quantiser::quantise(std::span<const float> numbers, Index first, std::span<std::byte> blocks) const {
  const Index n_rows = n_in_ == 0 ? 0 : std::ssize(numbers) / n_in_;
  if (std::ssize(numbers) != n_rows * n_in_) {
    fail("", "rows of " + std::to_string(n_in_) + " numbers", std::to_string(numbers.size()) + " numbers");
  }
  if (std::ssize(blocks) != n_rows * row_bytes()) {
    fail("", "room for " + std::to_string(n_rows * row_bytes()) + " bytes", std::to_string(blocks.size()));
  }
  if (feedback_ != nullptr) return quantise_with_feedback(numbers, first, blocks);
  with_block(dtype_, [&]<class Block>(Block) {
    const FlushSubnormals mode;
    for (Index i = 0; i < n_rows; ++i) {
      const auto* const row = reinterpret_cast<const std::byte*>(numbers.data() + i * n_in_);
      quantise_row<Block>(DType::f32, row, first + i, blocks.data() + i * row_bytes());
    }
  });
}

inline void Quantiser::quantise_with_feedback(const TensorView& tensor, Range rows, std::span<std::byte> blocks,
                                              ThreadPool& threads) const {
  constexpr Index n = 16;
  const Index from_bytes = checked_n_bytes(tensor.dtype, {n_in_}).value_or(0);
  threads.run_split(rows.size(), n, [&](Range share, int) {
    for (Index i = share.begin; i < share.end; i += n) {
      const Index n_rows = std::min(n, share.end - i), row = rows.begin + i;
      const Buffer<float> numbers =
          read_all<float>({tensor.dtype, {n_rows, n_in_}, tensor.data + row * from_bytes, nullptr});
      quantise_with_feedback(
          numbers.span(), row,
          blocks.subspan(static_cast<std::size_t>(i * row_bytes()), static_cast<std::size_t>(n_rows * row_bytes())));
    }
  });
}

inline void Quantiser::quantise_with_feedback(std::span<const float> numbers, Index first,
                                              std::span<std::byte> blocks) const {
  const Index n_rows = n_in_ == 0 ? 0 : std::ssize(numbers) / n_in_;
  for (Index row = 0; row < n_rows; ++row) {
    for (Index begin = 0; begin < n_in_; begin += detail::piece_size) {
      const Index n = std::min(n_in_ - begin, detail::piece_size);
      float x[detail::piece_size] = {};
      std::copy_n(numbers.data() + row * n_in_ + begin, n, x);
      check_numbers(x, first + row, begin, n);
    }
  }
  with_block(dtype_, [&]<class Block>(Block) {
    using Rows = detail::FeedbackRows<Block>;
    const FlushSubnormals mode;
    Buffer<float> errors(Rows::max_rows * n_in_);
    Rows rows(*feedback_, weights_.data(), errors.data());
    for (Index row = 0; row < n_rows; row += Rows::max_rows) {
      rows.quantise(numbers.data() + row * n_in_, std::min(n_rows - row, Rows::max_rows),
                    blocks.data() + row * row_bytes());
    }
  });
}

/// A copy of a tensor of real numbers in a type of blocks, made by one thread.
/// Throws ArgumentError as Quantiser does.
[[nodiscard]] inline TensorView quantised(const TensorView& tensor, DType dtype, const QuantiseOptions& options = {}) {
  const Index rank = tensor.shape.rank();
  const Quantiser quantiser(dtype, rank == 0 ? 1 : tensor.shape[rank - 1], options);
  const Index n_rows = quantiser.n_in() == 0 ? 0 : tensor.n_elements() / quantiser.n_in();
  const auto bytes = std::make_shared<Buffer<std::byte>>(n_rows * quantiser.row_bytes());
  ThreadPool alone(1);
  quantiser.quantise(tensor, {0, n_rows}, bytes->span(), alone);
  return {dtype, tensor.shape, bytes->data(), bytes};
}

RWKV_NAMESPACE_END
