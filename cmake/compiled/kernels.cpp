// SPDX-License-Identifier: MIT
#include "rwkv/kernels/kernels.hpp"

template rwkv::KernelTable<float> rwkv::kernel_table<float>(Isa);
template rwkv::KernelTable<double> rwkv::kernel_table<double>(Isa);
