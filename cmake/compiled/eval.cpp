// SPDX-License-Identifier: MIT
#include "rwkv/embed.hpp"
#include "rwkv/eval/score.hpp"
#include "rwkv/text_trace.hpp"
