// SPDX-License-Identifier: MIT
#include "rwkv/io/open.hpp"
