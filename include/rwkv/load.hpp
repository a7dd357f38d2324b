// SPDX-License-Identifier: MIT
// From a file to a model, and to the tokenizer that came with it.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "rwkv/io/open.hpp"
#include "rwkv/io/vocabulary.hpp"
#include "rwkv/model.hpp"
#include "rwkv/text/tokenizer.hpp"

RWKV_NAMESPACE_BEGIN

/// Loads a checkpoint as its authors published it: a file, an index of several, or a folder, see open_checkpoint. The
/// format is recognised by its content. The weights stay in the mapped file: loading reads what it checks and converts
/// only vectors.
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

/// The tokenizer of a model that was loaded from `model_path`: the vocabulary in `tokenizer_path` if that is given,
/// else the one in the file of the model, where it holds one (vocabulary_key), else what tokenizer_for finds beside it.
///
/// Throws as open_checkpoint, load_tokenizer and check_vocabulary, and ArgumentError if there is none.
template <class Scalar>
[[nodiscard]] Tokenizer tokenizer_for(const BasicModel<Scalar>& model, const std::string& model_path,
                                      const std::string& tokenizer_path = {}) {
  const Index n_vocab = model.config().n_vocab;
  if (!tokenizer_path.empty()) return tokenizer_for(n_vocab, model_path, tokenizer_path);
  const Checkpoint checkpoint = open_checkpoint(model_path, {.verify_checksums = false});
  const auto vocabulary = checkpoint.metadata().find(std::string(vocabulary_key));
  if (vocabulary == checkpoint.metadata().end()) return tokenizer_for(n_vocab, model_path);
  Tokenizer tokenizer(WorldTokenizer::from_text(vocabulary->second, model_path + ": vocabulary"));
  check_vocabulary(tokenizer, n_vocab, model_path);
  return tokenizer;
}

RWKV_NAMESPACE_END
