// SPDX-License-Identifier: MIT
// What tells a model apart from all others of its sizes, so that no State goes to the wrong one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/config.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

/// Metadata of files that keep the fingerprint of the model they were made from: a quantised copy changes every byte,
/// and goes on with the States of the original.
inline constexpr std::string_view fingerprint_key = "rwkv.fingerprint";

namespace detail {

inline constexpr std::string_view hex_digits = "0123456789abcdef";
inline constexpr std::size_t fingerprint_length = 16;

/// FNV-1a of 64 bits (Fowler, Noll, Vo: draft-eastlake-fnv, section 2).
class Fnv1a {
public:
  void add(std::span<const std::byte> bytes) noexcept {
    for (const std::byte byte : bytes) hash_ = (hash_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3u;
  }
  /// With a zero behind it: "ab" and "c" are not "a" and "bc".
  void add(std::string_view text) noexcept {
    add(std::as_bytes(std::span(text)));
    const std::byte end{0};
    add(std::span(&end, 1));
  }
  [[nodiscard]] std::string hex() const {
    std::string text(fingerprint_length, '0');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = hex_digits[hash_ >> (60 - 4 * i) & 15];
    return text;
  }

private:
  std::uint64_t hash_ = 0xcbf29ce484222325u;
};

/// The first, the middle and the last bytes. Reading a page of a mapped file is what takes the time, and the last page
/// of a tensor is mostly the first of the next: this is about two pages for each tensor.
inline void add_sample(Fnv1a& hash, const TensorView& tensor) noexcept {
  constexpr std::size_t n_piece = 128;
  const std::span<const std::byte> bytes(tensor.data, static_cast<std::size_t>(tensor.n_bytes()));
  if (bytes.size() <= 3 * n_piece) return hash.add(bytes);
  hash.add(bytes.first(n_piece));
  hash.add(bytes.subspan((bytes.size() - n_piece) / 2, n_piece));
  hash.add(bytes.last(n_piece));
}

}  // namespace detail

/// 16 hexadecimal digits: the fingerprint that the checkpoint's metadata give, or else a hash over the generation and,
/// in alphabetical order, the name, type, official shape and a sample of the values of every tensor of the model. So it
/// does not depend on the format of the file; training, adapters and quantisation change it.
///
/// The sizes of the Config are those of the shapes. Its group_norm_eps does not count: it is no part of the model, but
/// the caller's correction of what files leave unsaid, and whoever makes it keeps the States.
/// Throws ModelError if the metadata give something else than 16 hexadecimal digits.
[[nodiscard]] inline std::string model_fingerprint(const Checkpoint& checkpoint, const Construction& construction) {
  if (const auto kept = checkpoint.metadata().find(std::string(fingerprint_key)); kept != checkpoint.metadata().end()) {
    const std::string& text = kept->second;
    const bool is_hex = text.find_first_not_of(detail::hex_digits) == std::string::npos;
    if (is_hex && text.size() == detail::fingerprint_length) return text;
    throw ModelError({.path = checkpoint.path(),
                      .item = "metadata " + in_quotes(fingerprint_key),
                      .expected = "16 hexadecimal digits",
                      .found = in_quotes(text)});
  }
  std::vector<const TensorSpec*> tensors;
  for (const TensorSpec& spec : construction.asked) tensors.push_back(&spec);
  // The order of constructors may change, fingerprints may not.
  std::sort(tensors.begin(), tensors.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  detail::Fnv1a hash;
  hash.add(name(construction.config.generation));
  for (const TensorSpec* const spec : tensors) {
    const TensorView& tensor = checkpoint.at(spec->name);
    hash.add(spec->name);
    hash.add(name(tensor.dtype));
    hash.add(to_string(spec->shape));
    detail::add_sample(hash, tensor);
  }
  return hash.hex();
}

RWKV_NAMESPACE_END
