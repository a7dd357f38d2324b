// SPDX-License-Identifier: MIT
// From a file to a model.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "rwkv/io/open.hpp"
#include "rwkv/model.hpp"

RWKV_NAMESPACE_BEGIN

/// Loads a checkpoint as its authors published it; the format is recognised by its content. The weights stay in the
/// mapped file: loading reads what it checks and converts only vectors.
///
/// Throws IoError, FormatError, ModelError or UnsupportedError; see core/error.hpp.
template <class Scalar = float>
[[nodiscard]] BasicModel<Scalar> load_model(const std::string& path, const OpenOptions& options = {},
                                            const WeightOptions& weights = {}) {
  return BasicModel<Scalar>(open_checkpoint(path, options), weights);
}

/// The same for a file that is in memory already, such as a resource of the program. The bytes stay where they are and
/// must outlive the model; messages call them `name`.
template <class Scalar = float>
[[nodiscard]] BasicModel<Scalar> load_model(std::span<const std::byte> bytes, const std::string& name,
                                            const OpenOptions& options = {}, const WeightOptions& weights = {}) {
  return BasicModel<Scalar>(open_checkpoint(bytes, name, options), weights);
}

RWKV_NAMESPACE_END
