// SPDX-License-Identifier: MIT
// The State of a sequence: everything a model remembers of the tokens it has read.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/core/buffer.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

/// The tensors that a State consists of, one after the other in one array. Layers add theirs when they are made.
class StateLayout {
public:
  /// One tensor.
  struct Entry {
    std::string name;  ///< "blocks.0.att.aa"
    Shape shape;
    double initial;   ///< the value of every element before the first token
    Index offset;     ///< of its first element
    Index limit = 0;  ///< not 0: values are whole numbers from 0 to below this
    /// Values before the first token of a state-tuned model, in place of `initial`; usually none.
    std::vector<double> tuned = {};

    /// `tuned` does not count: it is part of the model, which the fingerprint tells.
    friend bool operator==(const Entry& a, const Entry& b) {
      return a.offset == b.offset && a.limit == b.limit && a.initial == b.initial && a.shape == b.shape &&
             a.name == b.name;
    }
  };

  /// Returns the offset of the new tensor. For `limit` see Entry.
  /// Throws ArgumentError if no memory could hold it, or a float not the numbers.
  Index add(std::string name, Shape shape, double initial = 0, Index limit = 0) {
    constexpr Index max_size = Index{1} << 56, max_limit = Index{1} << 24;  // of whole numbers that a float holds
    const Index offset = size_;
    const std::optional<Index> n = shape.checked_n_elements();
    if (!n || *n > max_size - size_ || limit > max_limit) {
      throw ArgumentError({.item = "state " + tensor_item(name),
                           .expected = "a shape that memory can hold, and numbers below 2^24",
                           .found = to_string(shape) + " of numbers below " + std::to_string(limit)});
    }
    size_ += *n;
    entries_.push_back({std::move(name), shape, initial, offset, limit});
    return offset;
  }

  /// Gives the tensor that was added last its values before the first token.
  /// Throws ArgumentError unless there is one for each element.
  void set_initial(std::span<const double> values) {
    const auto n = static_cast<std::size_t>(entries_.empty() ? 0 : size_ - entries_.back().offset);
    if (entries_.empty() || values.size() != n) {
      throw ArgumentError(
          {.item = "initial state", .expected = std::to_string(n) + " values", .found = std::to_string(values.size())});
    }
    entries_.back().tuned.assign(values.begin(), values.end());
  }

  /// Which model this is a State of: its generation, and what tells it apart from others of the same sizes, or "" if
  /// that does not matter. Part of what makes layouts equal.
  [[nodiscard]] Generation generation() const noexcept { return generation_; }
  [[nodiscard]] const std::string& fingerprint() const noexcept { return fingerprint_; }
  void set_model(Generation generation, std::string fingerprint) {
    generation_ = generation;
    fingerprint_ = std::move(fingerprint);
  }

  [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }
  /// Elements of all tensors together.
  [[nodiscard]] Index size() const noexcept { return size_; }

  friend bool operator==(const StateLayout& a, const StateLayout& b) {
    return &a == &b || (a.generation_ == b.generation_ && a.fingerprint_ == b.fingerprint_ && a.entries_ == b.entries_);
  }

private:
  std::vector<Entry> entries_;
  Generation generation_ = Generation::v4;
  std::string fingerprint_;
  Index size_ = 0;
};

/// A value: a copy is a fork of the sequence, and copying to a State of the same model allocates nothing.
template <class Scalar>
class BasicState {
public:
  /// The State before the first token.
  explicit BasicState(std::shared_ptr<const StateLayout> layout)
      : layout_(std::move(layout)), values_(layout_->size()) {
    reset();
  }

  BasicState(const BasicState&) = default;
  BasicState& operator=(const BasicState&) = default;
  /// What was moved from has no values, and is good for nothing but to be assigned to.
  BasicState(BasicState&& other) noexcept : layout_(other.layout_), values_(std::move(other.values_)) {}
  BasicState& operator=(BasicState&& other) noexcept {
    layout_ = other.layout_;
    values_ = std::move(other.values_);
    return *this;
  }
  ~BasicState() = default;

  /// Forgets everything.
  void reset() noexcept {
    for (const StateLayout::Entry& entry : layout_->entries()) {
      const auto values = values_of(entry);
      std::ranges::fill(values, static_cast<Scalar>(entry.initial));
      std::ranges::transform(entry.tuned, values.begin(), [](double value) { return static_cast<Scalar>(value); });
    }
  }

  [[nodiscard]] const StateLayout& layout() const noexcept { return *layout_; }

  /// All values; tensor by tensor they are those of layout().
  [[nodiscard]] std::span<Scalar> values() noexcept { return values_.span(); }
  [[nodiscard]] std::span<const Scalar> values() const noexcept { return values_.span(); }

  /// The values of one tensor, row-major. Throws ArgumentError if there is none of that name.
  [[nodiscard]] std::span<Scalar> tensor(std::string_view name) { return values_of(find(name)); }
  [[nodiscard]] std::span<const Scalar> tensor(std::string_view name) const {
    return const_cast<BasicState*>(this)->tensor(name);
  }

  /// Whether both are of the same model and remember exactly the same, bit for bit.
  friend bool operator==(const BasicState& a, const BasicState& b) noexcept {
    return a.layout() == b.layout() && a.values_.size() == b.values_.size() &&
           (a.values_.size() == 0 || std::memcmp(a.values_.data(), b.values_.data(), a.values().size_bytes()) == 0);
  }

private:
  const StateLayout::Entry& find(std::string_view name) const {
    for (const StateLayout::Entry& entry : layout_->entries()) {
      if (entry.name == name) return entry;
    }
    throw ArgumentError({.item = "state tensor " + in_quotes(name), .problem = "there is none of that name"});
  }

  std::span<Scalar> values_of(const StateLayout::Entry& entry) noexcept {
    return values_.span().subspan(static_cast<std::size_t>(entry.offset),
                                  static_cast<std::size_t>(entry.shape.checked_n_elements().value_or(0)));
  }

  std::shared_ptr<const StateLayout> layout_;
  Buffer<Scalar> values_;
};

using State = BasicState<float>;

RWKV_NAMESPACE_END
