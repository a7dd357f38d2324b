// SPDX-License-Identifier: MIT
#pragma once

namespace rwkv_test {

/// How often any operator new of this program has been called.
long n_allocations();

}  // namespace rwkv_test
