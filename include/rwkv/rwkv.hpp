// SPDX-License-Identifier: MIT
// Everything that runs models. Apart are arch/init.hpp, which makes new ones, and core/eigen.hpp, which shows weights
// and activations as matrices of Eigen: they take long to compile, and few programs need them.
#pragma once

#include "rwkv/core/error.hpp"
#include "rwkv/load.hpp"
#include "rwkv/model.hpp"
#include "rwkv/state.hpp"
#include "rwkv/state_file.hpp"
#include "rwkv/text/generator.hpp"
#include "rwkv/text/sampler.hpp"
#include "rwkv/text/tokenizer.hpp"
#include "rwkv/version.hpp"
#include "rwkv/workspace.hpp"
