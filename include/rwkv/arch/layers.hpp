// SPDX-License-Identifier: MIT
// The layers of all generations from RWKV-2 on as one type.
#pragma once

#include <memory>
#include <variant>
#include <vector>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/config.hpp"
#include "rwkv/arch/v2.hpp"
#include "rwkv/arch/v4.hpp"
#include "rwkv/arch/v5.hpp"
#include "rwkv/arch/v6.hpp"
#include "rwkv/arch/v7.hpp"
#include "rwkv/arch/v7a.hpp"
#include "rwkv/arch/v7b.hpp"
#include "rwkv/arch/v8_rc00.hpp"

RWKV_NAMESPACE_BEGIN

/// The layers of a model, made where they stay.
template <class Layer>
using Layers = std::vector<std::unique_ptr<const Layer>>;

template <class Scalar>
using AnyLayers = std::variant<Layers<v2::Layer<Scalar>>, Layers<v4::Layer<Scalar>>, Layers<v5::Layer<Scalar>>,
                               Layers<v6::Layer<Scalar>>, Layers<v7::Layer<Scalar>>, Layers<v7a::Layer<Scalar>>,
                               Layers<v7b::Layer<Scalar>>, Layers<v8_rc00::Layer<Scalar>>>;

template <class Layer>
[[nodiscard]] Layers<Layer> make_layers_of(const Builder& build) {
  Layers<Layer> layers;
  for (Index i = 0; i < build.config().n_layer; ++i) layers.push_back(std::make_unique<const Layer>(build.layer(i)));
  return layers;
}

/// Throws ModelError naming the tensor if one is missing or has the wrong shape.
template <class Scalar>
[[nodiscard]] AnyLayers<Scalar> make_layers(const Builder& build) {
  switch (build.config().generation) {
    case Generation::v2:
    case Generation::v3: return make_layers_of<v2::Layer<Scalar>>(build);
    case Generation::v4: return make_layers_of<v4::Layer<Scalar>>(build);
    case Generation::v5_0:
    case Generation::v5_1:
    case Generation::v5_2: return make_layers_of<v5::Layer<Scalar>>(build);
    case Generation::v6:
    case Generation::v6a:
    case Generation::v6b:
    case Generation::v6c: return make_layers_of<v6::Layer<Scalar>>(build);
    case Generation::v7a: return make_layers_of<v7a::Layer<Scalar>>(build);
    case Generation::v7b: return make_layers_of<v7b::Layer<Scalar>>(build);
    case Generation::v8_rc00: return make_layers_of<v8_rc00::Layer<Scalar>>(build);
    default: return make_layers_of<v7::Layer<Scalar>>(build);
  }
}

RWKV_NAMESPACE_END
