// SPDX-License-Identifier: MIT
// Which kernels can be tested on this machine.
#pragma once

#include <optional>
#include <vector>

#include "rwkv/kernels/kernels.hpp"

namespace rwkv_test {

/// The kernels of avx512-amx with tiles emulated in memory. None if the processor has no AVX-512 with BF16.
std::optional<rwkv::KernelTable<float>> emulated_amx_table();

/// All instruction sets of this processor, and those emulated.
std::vector<rwkv::KernelTable<float>> available_tables();

}  // namespace rwkv_test
