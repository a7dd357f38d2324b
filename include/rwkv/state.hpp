// SPDX-License-Identifier: MIT
// The State of a sequence: everything a model remembers of the tokens it has read.
#pragma once

#include <algorithm>
#include <memory>
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
  struct Entry {
    std::string name;  ///< "blocks.0.att.aa"
    Shape shape;
    double initial;   ///< the value of every element before the first token
    Index offset;     ///< of its first element
    Index limit = 0;  ///< not 0: values are whole numbers from 0 to below this
    /// Values before the first token of a state-tuned model, in place of `initial`; usually none.
    std::vector<double> tuned = {};

    friend bool operator==(const Entry&, const Entry&) = default;
  };

  /// Returns the offset of the new tensor. For `limit` see Entry.
  Index add(std::string name, Shape shape, double initial = 0, Index limit = 0) {
    const Index offset = size_;
    size_ += shape.checked_n_elements().value();
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

  /// Whether both remember exactly the same.
  friend bool operator==(const BasicState& a, const BasicState& b) noexcept {
    return std::ranges::equal(a.values(), b.values());
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
