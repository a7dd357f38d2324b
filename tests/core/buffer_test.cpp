// SPDX-License-Identifier: MIT
#include "rwkv/core/buffer.hpp"

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("core/buffer");

TEST_CASE("a new buffer is zero and starts on a cache line") {
  for (const Index size : {1, 3, 100}) {
    const Buffer<float> buffer(size);
    CHECK(buffer.size() == size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
    CHECK(std::all_of(buffer.begin(), buffer.end(), [](float value) { return value == 0.0f; }));
  }
  CHECK(Buffer<double>(0).data() == nullptr);
}

TEST_CASE("copies are deep, moves leave nothing behind, assignment of equal sizes stays in place") {
  const std::vector<int> values{1, 2, 3};
  Buffer<int> a{std::span<const int>(values)};
  Buffer<int> b = a;
  b[0] = 7;
  CHECK(a[0] == 1);
  const int* place = a.data();
  a = b;
  CHECK(a.data() == place);
  CHECK(a[0] == 7);
  const Buffer<int> c = std::move(a);
  CHECK(c[2] == 3);
  CHECK(a.size() == 0);  // NOLINT(bugprone-use-after-move): the state after a move is documented
}

TEST_SUITE_END();
