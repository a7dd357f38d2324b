// SPDX-License-Identifier: MIT
// Everything that runs models. Apart, because they take long to compile and few programs need them, are
// arch/init.hpp and arch/synthetic.hpp, which make new models, quant/quantise.hpp, which makes blocks of weights,
// convert.hpp and convert/, which make files, eval.hpp, embed.hpp and inspect/, which measure,
// state/state_exchange.hpp, which speaks with other engines, and core/eigen.hpp, which shows weights and activations to
// Eigen.
#pragma once

#include "rwkv/arch/sparse.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/grammar/grammar.hpp"
#include "rwkv/load.hpp"
#include "rwkv/model.hpp"
#include "rwkv/session.hpp"
#include "rwkv/session/session_file.hpp"
#include "rwkv/state.hpp"
#include "rwkv/state/state_file.hpp"
#include "rwkv/text/answer_stream.hpp"
#include "rwkv/text/chat_template.hpp"
#include "rwkv/text/constraint.hpp"
#include "rwkv/text/generator.hpp"
#include "rwkv/text/sampler.hpp"
#include "rwkv/text/tokenizer.hpp"
#include "rwkv/version.hpp"
#include "rwkv/workspace.hpp"
