// SPDX-License-Identifier: MIT
#include "rwkv/embed.hpp"
#include "rwkv/eval/score.hpp"
#include "rwkv/inspect/text_trace.hpp"
