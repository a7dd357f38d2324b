// SPDX-License-Identifier: MIT
// Owned memory: 64-byte aligned (a cache line, a 512-bit register), of plain numbers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

inline constexpr std::size_t buffer_alignment = 64;

/// A fixed number of values of a trivial type, zero at the start. Copies are deep; a moved-from buffer is empty.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

public:
  Buffer() noexcept = default;
  explicit Buffer(Index size) : data_(allocate(size)), size_(size) { std::fill_n(data_, size_, T{}); }
  explicit Buffer(std::span<const T> values) : Buffer(static_cast<Index>(values.size())) {
    std::copy(values.begin(), values.end(), data_);
  }
  Buffer(const Buffer& other) : Buffer(other.span()) {}
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, Index{0})) {}
  /// Assigning a buffer of the same size copies in place, without an allocation.
  Buffer& operator=(const Buffer& other) {
    if (this == &other) return *this;
    if (size_ != other.size_) *this = Buffer(other.size_);
    std::copy(other.begin(), other.end(), data_);
    return *this;
  }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { ::operator delete (data_, std::align_val_t{buffer_alignment}); }

  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] const T* data() const noexcept { return data_; }
  [[nodiscard]] Index size() const noexcept { return size_; }
  [[nodiscard]] T* begin() noexcept { return data_; }
  [[nodiscard]] T* end() noexcept { return data_ + size_; }
  [[nodiscard]] const T* begin() const noexcept { return data_; }
  [[nodiscard]] const T* end() const noexcept { return data_ + size_; }
  [[nodiscard]] T& operator[](Index i) noexcept { return data_[i]; }
  [[nodiscard]] const T& operator[](Index i) const noexcept { return data_[i]; }
  [[nodiscard]] std::span<T> span() noexcept { return {data_, static_cast<std::size_t>(size_)}; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {data_, static_cast<std::size_t>(size_)}; }

private:
  static T* allocate(Index size) {
    if (size == 0) return nullptr;
    if (size < 0 || size > std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(T))) {
      throw std::bad_array_new_length();
    }
    return static_cast<T*>(
        ::operator new (static_cast<std::size_t>(size) * sizeof(T), std::align_val_t{buffer_alignment}));
  }

  T* data_ = nullptr;
  Index size_ = 0;
};

RWKV_NAMESPACE_END
