// SPDX-License-Identifier: MIT
// Replaces the global allocation functions by ones that count. In a file of its own, so that compilers do not inline
// one of a pair and then warn of the mismatch.
#include "support/count_allocations.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

std::atomic<long> count = 0;
std::atomic<long> n_live_bytes = 0, n_peak_bytes = 0;

constexpr std::size_t usual_alignment = alignof(std::max_align_t);

/// The size stands before the memory, in as much room as the alignment takes.
void* counted(std::size_t size, std::size_t alignment) noexcept {
  ++count;
  alignment = std::max(alignment, usual_alignment);
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  auto* const place = static_cast<char*>(std::aligned_alloc(alignment, rounded + alignment));
  if (place == nullptr) return nullptr;
  std::memcpy(place, &size, sizeof(size));
  const long live = n_live_bytes += static_cast<long>(size);
  for (long peak = n_peak_bytes; live > peak && !n_peak_bytes.compare_exchange_weak(peak, live);) continue;
  return place + alignment;
}

void* counted_or_throw(std::size_t size, std::size_t alignment) {
  if (void* const place = counted(size, alignment)) return place;
  throw std::bad_alloc();
}

void give_back(void* place, std::size_t alignment) noexcept {
  if (place == nullptr) return;
  auto* const begin = static_cast<char*>(place) - std::max(alignment, usual_alignment);
  std::size_t size = 0;
  std::memcpy(&size, begin, sizeof(size));
  n_live_bytes -= static_cast<long>(size);
  std::free(begin);
}

}  // namespace

long rwkv_test::n_allocations() { return count; }

long rwkv_test::live_bytes() { return n_live_bytes; }

long rwkv_test::take_peak_bytes() { return n_peak_bytes.exchange(n_live_bytes); }

void* operator new(std::size_t size) { return counted_or_throw(size, usual_alignment); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted(size, usual_alignment); }
void operator delete(void* place) noexcept { give_back(place, usual_alignment); }
void operator delete(void* place, std::size_t) noexcept { give_back(place, usual_alignment); }
void operator delete(void* place, std::align_val_t alignment) noexcept {
  give_back(place, static_cast<std::size_t>(alignment));
}
void operator delete(void* place, std::size_t, std::align_val_t alignment) noexcept {
  give_back(place, static_cast<std::size_t>(alignment));
}
