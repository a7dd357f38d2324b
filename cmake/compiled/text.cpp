// SPDX-License-Identifier: MIT
#include "rwkv/text/generator.hpp"
