// SPDX-License-Identifier: MIT
#pragma once

namespace rwkv_test {

/// How often any operator new of this program has been called.
long n_allocations();

/// Bytes that new gave and nobody has given back yet.
long live_bytes();

/// The most that these were since the last call.
long take_peak_bytes();

}  // namespace rwkv_test
