// SPDX-License-Identifier: MIT
// The `config.json` that Hugging Face libraries write beside a model, as far as it tells what tensors do not.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/core/json.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/core/to_text.hpp"
#include "rwkv/io/byte_reader.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

struct HuggingFaceConfig {
  bool ties_embeddings = false;  ///< tie_word_embeddings: without a head of its own, it is the embedding
};

/// Reads the text of a `config.json`; `path` is what messages call it. Members that do not matter are passed over.
///
/// Refused is what the tensors would not show and RWKV does not have: norms with another epsilon than 1e-5, another
/// activation in the channel mixing, an embedding without its norm, layers of attention. (Names and defaults:
/// configuration_rwkv6.py, configuration_rwkv7.py of fla; configuration_rwkv.py of transformers.)
///
/// `rescale_every` does not matter: transformers divides weights after loading, never in files.
/// Throws FormatError if it is no JSON object or a value has the wrong kind, UnsupportedError as above.
[[nodiscard]] inline HuggingFaceConfig parse_hugging_face_config(const std::string& path, std::string_view text) {
  constexpr double norm_eps = 1e-5;
  HuggingFaceConfig config;
  JsonReader json(path, "config.json", text);
  const auto refuse = [&path](std::string_view name, std::string_view expected, std::string_view found) {
    throw UnsupportedError({.path = path, .item = in_quotes(name), .expected = expected, .found = found});
  };
  json.object([&](const std::string& name) {
    json.set_item(in_quotes(name));
    if (json.kind() == JsonReader::Kind::null) return json.skip();  // a default
    if (name == "tie_word_embeddings") {
      config.ties_embeddings = json.truth_value();
    } else if (name == "norm_eps" || name == "layer_norm_epsilon") {
      if (const double eps = json.real(); eps != norm_eps) refuse(name, to_text(norm_eps), to_text(eps));
    } else if (name == "head_size_divisor") {  // of RWKV-5 and 6: the epsilon of the heads is 1e-5 times its square
      if (const double divisor = json.real(); divisor != 8) refuse(name, "8", to_text(divisor));
    } else if (name == "hidden_act") {
      if (const std::string act = json.string(); act != "sqrelu") refuse(name, "'sqrelu'", in_quotes(act));
    } else if (name == "norm_first" || name == "norm_bias") {
      if (!json.truth_value()) refuse(name, "true", "false");
    } else if (name == "attn") {
      refuse(name, "null: no layers of attention", "some");
    } else {
      json.skip();
    }
  });
  json.end();
  return config;
}

[[nodiscard]] inline HuggingFaceConfig read_hugging_face_config(const std::string& path) {
  const MappedFile file(path);
  return parse_hugging_face_config(path, as_text(file.bytes()));
}

}  // namespace detail

RWKV_NAMESPACE_END
