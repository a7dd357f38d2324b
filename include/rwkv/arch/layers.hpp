// SPDX-License-Identifier: MIT
// Which layers a generation has.
#pragma once

#include <memory>

#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/config.hpp"
#include "rwkv/arch/v1.hpp"
#include "rwkv/arch/v2.hpp"
#include "rwkv/arch/v4.hpp"
#include "rwkv/arch/v5.hpp"
#include "rwkv/arch/v6.hpp"
#include "rwkv/arch/v7.hpp"
#include "rwkv/arch/v7a.hpp"
#include "rwkv/arch/v7b.hpp"
#include "rwkv/arch/v8_rc00.hpp"

RWKV_NAMESPACE_BEGIN

/// Layer number build.layer() of a model. Throws ModelError naming the tensor if one is missing or has the wrong shape.
template <class Scalar>
[[nodiscard]] std::unique_ptr<const Layer<Scalar>> make_layer(const Builder& build) {
  if (build.config().has_ffn_pre && build.layer() == 0) {  // RWKV-2 to 4
    using v4::ChannelMix;
    return std::make_unique<const Block<Scalar, ChannelMix<Scalar>, ChannelMix<Scalar>>>(build, "ffnPre.");
  }
  switch (build.config().generation) {
    case Generation::v1: return std::make_unique<const v1::Block<Scalar>>(build, "attn.", "mlp.");
    case Generation::v2:
    case Generation::v3: return std::make_unique<const v2::Block<Scalar>>(build);
    case Generation::v4: return std::make_unique<const v4::Block<Scalar>>(build);
    case Generation::v5_0:
    case Generation::v5_1:
    case Generation::v5_2: return std::make_unique<const v5::Block<Scalar>>(build);
    case Generation::v6:
    case Generation::v6a:
    case Generation::v6b:
    case Generation::v6c: return std::make_unique<const v6::Block<Scalar>>(build);
    case Generation::v7a: return std::make_unique<const v7a::Block<Scalar>>(build);
    case Generation::v7b: return std::make_unique<const v7b::Layer<Scalar>>(build);
    case Generation::v8_rc00: return std::make_unique<const v8_rc00::Block<Scalar>>(build);
    case Generation::v7: break;
  }
  return std::make_unique<const v7::Block<Scalar>>(build);
}

RWKV_NAMESPACE_END
