// SPDX-License-Identifier: MIT
#include "rwkv/arch/sparse.hpp"
#include "rwkv/model.hpp"

template class rwkv::BasicModel<float>;
