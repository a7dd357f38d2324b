// SPDX-License-Identifier: MIT
#include "rwkv/io/open.hpp"
#include "rwkv/io/write.hpp"
