// SPDX-License-Identifier: MIT
#include "rwkv/session.hpp"
#include "rwkv/text/chat_template.hpp"
#include "rwkv/text/generator.hpp"
