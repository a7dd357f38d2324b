// SPDX-License-Identifier: MIT
#include "rwkv/core/thread_pool.hpp"

#include <numeric>
#include <stdexcept>

#include <sys/resource.h>

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("core/thread_pool");

TEST_CASE("shares follow each other, cover everything, and are cut at multiples of the grain") {
  for (const Index n : {0, 1, 7, 64, 1000}) {
    for (const Index grain : {1, 4, 16}) {
      for (const int n_workers : {1, 2, 3, 7, 64}) {
        CAPTURE(n);
        CAPTURE(grain);
        CAPTURE(n_workers);
        Index end = 0;
        for (int worker = 0; worker < n_workers; ++worker) {
          const Range range = split(n, grain, worker, n_workers);
          CHECK(range.begin == end);
          CHECK((range.begin % grain == 0 || range.begin == n));
          end = range.end;
        }
        CHECK(end == n);
      }
    }
  }
}

TEST_CASE("every task runs once in every region, on a thread of its number") {
  for (const int n_threads : {1, 2, 3, 7}) {
    ThreadPool pool(n_threads);
    const std::thread::id caller = std::this_thread::get_id();
    for (const Index n_tasks : {0, 1, 2, 5, 100}) {
      std::vector<std::atomic<int>> counts(static_cast<std::size_t>(n_tasks));
      std::vector<std::atomic<int>> inside(static_cast<std::size_t>(n_threads));
      std::atomic<bool> is_right = true;
      for (int region = 0; region < 300; ++region) {
        pool.run(n_tasks, [&](Index task, int worker) {
          const auto thread = static_cast<std::size_t>(worker);
          ++counts[static_cast<std::size_t>(task)];
          if (++inside[thread] != 1) is_right = false;  // no two threads have the same number
          if ((std::this_thread::get_id() == caller) != (worker == 0)) is_right = false;
          --inside[thread];
        });
      }
      CHECK(is_right);
      CHECK(std::all_of(counts.begin(), counts.end(), [](const auto& count) { return count == 300; }));
    }
  }
}

TEST_CASE("the threads of a pool work at the same time") {
  ThreadPool pool(3);
  std::atomic<int> n_inside = 0;
  bool all_came = true;
  pool.run(3, [&](Index, int) {
    ++n_inside;
    const auto start = std::chrono::steady_clock::now();
    while (n_inside < 3) {
      if (std::chrono::steady_clock::now() - start > std::chrono::seconds(20)) {
        all_came = false;
        return;
      }
      std::this_thread::yield();
    }
  });
  CHECK(all_came);
}

TEST_CASE("ranges cover everything once, cut at multiples of the grain") {
  ThreadPool pool(3);
  for (const Index n : {0, 1, 7, 8, 9, 1000}) {
    std::vector<std::atomic<int>> counts(static_cast<std::size_t>(n));
    std::atomic<bool> is_cut_right = true;
    pool.run_split(n, 8, [&](Range range, int) {
      if (range.begin % 8 != 0 || (range.end % 8 != 0 && range.end != n)) is_cut_right = false;
      for (Index i = range.begin; i < range.end; ++i) ++counts[static_cast<std::size_t>(i)];
    });
    CHECK(is_cut_right);
    CHECK(std::all_of(counts.begin(), counts.end(), [](const auto& count) { return count == 1; }));
  }
}

TEST_CASE("regions after the workers fell asleep run as well") {
  ThreadPool pool(3);
  std::atomic<int> sum = 0;
  for (int region = 0; region < 5; ++region) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pool.run_split(100, 8, [&](Range range, int) { sum += static_cast<int>(range.size()); });
  }
  CHECK(sum == 500);
}

TEST_CASE("an exception of any task reaches the caller, and the pool goes on") {
  ThreadPool pool(3);
  for (Index thrower = 0; thrower < 3; ++thrower) {
    CHECK_THROWS_WITH_AS(pool.run(3,
                                  [&](Index task, int) {
                                    if (task == thrower) throw std::runtime_error("from a task");
                                  }),
                         "from a task", std::runtime_error);
  }
  std::atomic<int> n_calls = 0;
  pool.run(3, [&](Index, int) { ++n_calls; });
  CHECK(n_calls == 3);
}

#ifndef RWKV_TEST_SANITIZED  // sanitizers reserve terabytes of address space
TEST_CASE("threads that the system refuses to start are an error, not the end") {
  // The limit counts address space: a thousand stacks of 8 MB do not fit into 2 GB.
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  rlimit small = before;
  small.rlim_cur = rlim_t{2} << 30;
  if (setrlimit(RLIMIT_AS, &small) != 0) return;
  CHECK_THROWS_WITH_AS(ThreadPool(1000), doctest::Contains("1000 threads: the system refuses"), IoError);
  setrlimit(RLIMIT_AS, &before);
}
#endif

TEST_CASE("no threads and absurdly many are refused") {
  CHECK_THROWS_WITH_AS(ThreadPool(0), doctest::Contains("found 0"), ArgumentError);
  CHECK_THROWS_AS(ThreadPool(100000), ArgumentError);
}

TEST_CASE("there are cores, and not more than processors") {
  CHECK(n_cores() >= 1);
  CHECK(n_cores() <= n_processors());
}

TEST_SUITE_END();
