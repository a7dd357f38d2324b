// SPDX-License-Identifier: MIT
// A small persistent pool for short parallel regions.
#pragma once

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <exception>
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

/// Runs one function on all its threads at a time. The caller is worker 0, so one thread means no threads at all.
///
/// A dispatch allocates nothing. Idle workers spin for some microseconds, then sleep. One thread may use a pool at a
/// time; regions do not nest. The workers take subnormal numbers for zeros; a caller that wants the same does so itself.
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

  /// Calls function(worker) for worker = 0 .. n_threads - 1, concurrently, and returns when all are done. If calls
  /// throw, one of the exceptions is thrown here after that.
  void run(FunctionRef<void(int)> function) {
    if (workers_.empty()) return function(0);
    function_ = &function;
    n_pending_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    start_region();
    call_and_keep_exception(0);
    wait_while(n_pending_, [](int pending) { return pending != 0; });
    if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
  }

  /// Calls function(range) on this worker's share of 0 .. n, for every worker; see split().
  RWKV_NOINLINE void run_split(Index n, Index grain, FunctionRef<void(Range)> function) {
    if (n <= grain) {  // nothing to share
      if (n > 0) function(Range{0, n});
      return;
    }
    run([&](int worker) {
      const Range range = split(n, grain, worker, n_threads());
      if (range.size() > 0) function(range);
    });
  }

private:
  // Long enough to bridge the serial stretches between two regions of a forward pass, far below a scheduler's time
  // slice.
  static constexpr int n_spins = 2000;

  /// Returns when `condition(value)` is false.
  template <class Number, class Condition>
  static void wait_while(std::atomic<Number>& value, Condition condition) noexcept {
    for (int spin = 0; spin < n_spins; ++spin) {
      if (!condition(value.load(std::memory_order_acquire))) return;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    for (Number seen = value.load(std::memory_order_acquire); condition(seen);
         seen = value.load(std::memory_order_acquire)) {
      value.wait(seen, std::memory_order_acquire);
    }
  }

  void stop() noexcept {
    stopping_ = true;
    start_region();
    for (std::thread& worker : workers_) worker.join();
  }

  void start_region() noexcept {
    region_.fetch_add(1, std::memory_order_release);
    region_.notify_all();
  }

  void work(int worker) noexcept {
    const FlushSubnormals mode;
    for (unsigned done = 0;; ++done) {  // wraps around, as region_ does
      wait_while(region_, [done](unsigned region) { return region == done; });
      if (stopping_) return;
      call_and_keep_exception(worker);
      if (n_pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) n_pending_.notify_one();
    }
  }

  void call_and_keep_exception(int worker) noexcept {
    try {
      (*function_)(worker);
    } catch (...) {
      const std::lock_guard lock(exception_mutex_);
      if (!exception_) exception_ = std::current_exception();
    }
  }

  std::vector<std::thread> workers_;
  std::atomic<unsigned> region_{0};                   // counts regions; a worker sleeps until it moves
  std::atomic<int> n_pending_{0};                     // workers that have not finished the region
  const FunctionRef<void(int)>* function_ = nullptr;  // of the region
  bool stopping_ = false;
  std::mutex exception_mutex_;
  std::exception_ptr exception_;
};

RWKV_NAMESPACE_END
