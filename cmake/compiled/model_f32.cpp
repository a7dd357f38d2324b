// SPDX-License-Identifier: MIT
#include "rwkv/model.hpp"

template class rwkv::BasicModel<float>;
