// SPDX-License-Identifier: MIT
#include "rwkv/arch/sparse.hpp"
#include "rwkv/calibrate.hpp"
#include "rwkv/choose_types.hpp"
#include "rwkv/convert.hpp"
#include "rwkv/input_moments.hpp"
#include "rwkv/model.hpp"

template class rwkv::BasicModel<float>;
