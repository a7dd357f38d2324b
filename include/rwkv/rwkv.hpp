// SPDX-License-Identifier: MIT
// Everything that runs models. (arch/init.hpp and arch/synthetic.hpp, which make new ones, are apart.)
#pragma once

#include "rwkv/core/eigen.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/load.hpp"
#include "rwkv/model.hpp"
#include "rwkv/state.hpp"
#include "rwkv/state_exchange.hpp"
#include "rwkv/state_file.hpp"
#include "rwkv/text/generator.hpp"
#include "rwkv/text/sampler.hpp"
#include "rwkv/text/tokenizer.hpp"
#include "rwkv/version.hpp"
#include "rwkv/workspace.hpp"
