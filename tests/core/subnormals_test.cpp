// SPDX-License-Identifier: MIT
#include "rwkv/core/subnormals.hpp"

#include "rwkv/core/thread_pool.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

/// 1e-38 / 10 and 1e-310 / 10, computed when it is called.
bool keeps_subnormals() {
  volatile float small = 1e-38f;
  volatile double tiny = 1e-307;
  small = small / 10;
  tiny = tiny / 10;
  return small != 0 && tiny != 0;
}

#if defined(__x86_64__) || defined(__aarch64__)
constexpr bool can_flush = true;
#else
constexpr bool can_flush = false;
#endif

}  // namespace

TEST_SUITE_BEGIN("core/subnormals");

TEST_CASE("subnormal numbers are zeros as long as the object lives, and no longer") {
  CHECK(keeps_subnormals());
  {
    const FlushSubnormals outer;
    CHECK(keeps_subnormals() == !can_flush);
    { const FlushSubnormals inner; }
    CHECK(keeps_subnormals() == !can_flush);
  }
  CHECK(keeps_subnormals());
}

TEST_CASE("the workers of a pool flush them always, the caller is left as it is") {
  ThreadPool pool(3);
  bool kept[3] = {};
  std::atomic<int> n_inside = 0;
  pool.run(3, [&](Index, int worker) {
    kept[worker] = keeps_subnormals();
    for (++n_inside; n_inside < 3;) std::this_thread::yield();  // so that each thread takes one
  });
  CHECK(kept[0]);
  CHECK(kept[1] == !can_flush);
  CHECK(kept[2] == !can_flush);
  CHECK(keeps_subnormals());
}

TEST_SUITE_END();
