// SPDX-License-Identifier: MIT
// A small persistent pool for short parallel regions.
#pragma once

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/core/subnormals.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Half-open: begin <= i < end.
struct Range {
  Index begin = 0;
  Index end = 0;
  [[nodiscard]] constexpr Index size() const noexcept { return end - begin; }
  friend constexpr bool operator==(const Range&, const Range&) noexcept = default;
};

/// The share of worker `worker` of `n_workers` in 0 .. n, cut only at multiples of `grain`. The shares follow each
/// other, cover everything, and differ by one grain at most. Depends on nothing but its arguments.
[[nodiscard]] constexpr Range split(Index n, Index grain, int worker, int n_workers) noexcept {
  const Index n_grains = (n + grain - 1) / grain;
  const Index begin = n_grains * worker / n_workers;
  const Index end = n_grains * (worker + 1) / n_workers;
  return {std::min(begin * grain, n), std::min(end * grain, n)};
}

/// The processors this process may run on, at least 1.
[[nodiscard]] inline int n_processors() noexcept {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// The cores these processors belong to, as far as the system tells, at least 1. Two threads of one core have one set
/// of arithmetic units: more workers than cores help nobody but the scheduler.
[[nodiscard]] inline int n_cores() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return n_processors();
  std::vector<std::string> cores;  // each by the list of its processors
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &allowed)) continue;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(processor) + "/topology/thread_siblings_list");
    std::string siblings;
    if (!std::getline(file, siblings)) return n_processors();
    if (std::find(cores.begin(), cores.end(), siblings) == cores.end()) cores.push_back(std::move(siblings));
  }
  return std::max(1, static_cast<int>(cores.size()));
#else
  return n_processors();
#endif
}

/// Runs the tasks of one parallel region at a time, on the thread that calls and on workers of its own: one thread
/// means no workers at all.
///
/// Each thread takes the next task when it is done with one. A worker that comes late, because another program has its
/// processor, is not waited for: the others do its tasks. A region allocates nothing. Idle workers spin for some
/// microseconds, then sleep. One thread may use a pool at a time; regions do not nest. The workers take subnormal
/// numbers for zeros; a caller that wants the same does so itself.
class ThreadPool {
public:
  static constexpr int max_threads = 1024;

  /// Throws ArgumentError unless 1 <= n_threads <= max_threads, IoError if the system refuses to start them.
  explicit ThreadPool(int n_threads) {
    if (n_threads < 1 || n_threads > max_threads) {
      throw ArgumentError({.item = "number of threads", .expected = "1 to 1024", .found = std::to_string(n_threads)});
    }
    workers_.reserve(static_cast<std::size_t>(n_threads - 1));
    try {
      for (int worker = 1; worker < n_threads; ++worker) {
        workers_.emplace_back([this, worker] { work(worker); });
      }
    } catch (const std::system_error& error) {
      stop();
      throw IoError({.item = std::to_string(n_threads) + " threads",
                     .problem = std::string("the system refuses to start that many: ") + error.what()});
    }
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { stop(); }

  [[nodiscard]] int n_threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  /// Calls function(task, worker) for task = 0 .. n_tasks - 1, concurrently, and returns when all are done. worker is
  /// the number of the thread, 0 .. n_threads() - 1; 0 is the caller. If calls throw, one of the exceptions is thrown
  /// here after that.
  void run(Index n_tasks, FunctionRef<void(Index, int)> function) {
    if (workers_.empty() || n_tasks <= 1) {
      for (Index task = 0; task < n_tasks; ++task) function(task, 0);
      return;
    }
    function_ = &function;
    n_tasks_ = n_tasks;
    next_task_.store(0, std::memory_order_relaxed);
    start_region(is_open);
    take_tasks(0);
    region_.fetch_and(~is_open, std::memory_order_acq_rel);
    wait_while(region_, [](std::uint32_t region) { return (region & inside) != 0; });
    if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
  }

  /// Calls function(range, worker) so that the ranges cover 0 .. n, cut only at multiples of grain: some for each
  /// thread.
  RWKV_NOINLINE void run_split(Index n, Index grain, FunctionRef<void(Range, int)> function) {
    constexpr int tasks_for_each = 8;  // so that a slow thread may do less
    const auto n_tasks = static_cast<int>(std::min<Index>((n + grain - 1) / grain, tasks_for_each * n_threads()));
    run(n_tasks, [&](Index task, int worker) {
      const Range range = split(n, grain, static_cast<int>(task), n_tasks);
      if (range.size() > 0) function(range, worker);
    });
  }

private:
  // The word that starts regions: a number that counts them, the end, how many workers are inside, and whether more may
  // enter.
  static constexpr std::uint32_t is_open = 1, one_inside = 2, inside = 0xffe, is_end = 0x1000, one_region = 0x2000;
  static_assert(max_threads <= inside / one_inside + 1);

  // Long enough to bridge the serial stretches between two regions of a forward pass, far below a scheduler's time
  // slice.
  static constexpr int n_spins = 2000;

  /// Returns the value when `condition(value)` is false.
  template <class Condition>
  static std::uint32_t wait_while(std::atomic<std::uint32_t>& value, Condition condition) noexcept {
    for (int spin = 0; spin < n_spins; ++spin) {
      if (const std::uint32_t seen = value.load(std::memory_order_acquire); !condition(seen)) return seen;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      __asm__ volatile("isb");  // waits about as long as that pause; `yield` mostly does nothing
#endif
    }
    std::uint32_t seen = value.load(std::memory_order_acquire);
    for (; condition(seen); seen = value.load(std::memory_order_acquire)) value.wait(seen, std::memory_order_acquire);
    return seen;
  }

  void stop() noexcept {
    start_region(is_end);
    for (std::thread& worker : workers_) worker.join();
  }

  /// Nobody is inside.
  void start_region(std::uint32_t kind) noexcept {
    const std::uint32_t last = region_.load(std::memory_order_relaxed) & ~(one_region - 1);
    region_.store((last + one_region) | kind, std::memory_order_release);
    region_.notify_all();
  }

  void work(int worker) noexcept {
    const FlushSubnormals mode;
    const auto number = [](std::uint32_t region) { return region / one_region; };
    for (std::uint32_t done = 0;;) {
      std::uint32_t region =
          wait_while(region_, [&](std::uint32_t seen) { return number(seen) == done && (seen & is_end) == 0; });
      if ((region & is_end) != 0) return;
      done = number(region);
      while ((region & is_open) != 0 && number(region) == done) {
        if (!region_.compare_exchange_weak(region, region + one_inside, std::memory_order_acq_rel)) continue;
        take_tasks(worker);
        const std::uint32_t left = region_.fetch_sub(one_inside, std::memory_order_acq_rel) - one_inside;
        if ((left & (inside | is_open)) == 0) region_.notify_all();  // the caller may wait for that
        break;
      }
    }
  }

  void take_tasks(int worker) noexcept {
    for (Index task = next_task_.fetch_add(1, std::memory_order_relaxed); task < n_tasks_;
         task = next_task_.fetch_add(1, std::memory_order_relaxed)) {
      try {
        (*function_)(task, worker);
      } catch (...) {
        const std::lock_guard lock(exception_mutex_);
        if (!exception_) exception_ = std::current_exception();
      }
    }
  }

  std::vector<std::thread> workers_;
  alignas(64) std::atomic<std::uint32_t> region_{0};
  alignas(64) std::atomic<Index> next_task_{0};
  Index n_tasks_ = 0;                                        // of the region
  const FunctionRef<void(Index, int)>* function_ = nullptr;  // of the region
  std::mutex exception_mutex_;
  std::exception_ptr exception_;
};

RWKV_NAMESPACE_END
