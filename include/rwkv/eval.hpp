// SPDX-License-Identifier: MIT
// All that tells how good a model is.
#pragma once

#include "rwkv/eval/comparison.hpp"
#include "rwkv/eval/prediction.hpp"
#include "rwkv/eval/score.hpp"
#include "rwkv/eval/tasks.hpp"
