// SPDX-License-Identifier: MIT
#include "rwkv/arch/sparse.hpp"
#include "rwkv/convert.hpp"
#include "rwkv/convert/calibrate.hpp"
#include "rwkv/convert/choose_types.hpp"
#include "rwkv/convert/input_moments.hpp"
#include "rwkv/model.hpp"

template class rwkv::BasicModel<float>;
