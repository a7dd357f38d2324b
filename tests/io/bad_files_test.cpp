// SPDX-License-Identifier: MIT
// Hostile files through the front door: each ends in one clear error.
#include <fstream>

#include <nlohmann/json.hpp>

#include "io/files.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/zip.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

/// "IoError", ... with the message, or "" if the file was opened.
struct Outcome {
  std::string kind, message;
};

Outcome try_open(const std::string& path) {
  try {
    static_cast<void>(open_checkpoint(path));
    return {};
  } catch (const IoError& error) {
    return {"IoError", error.what()};
  } catch (const FormatError& error) {
    return {"FormatError", error.what()};
  } catch (const UnsupportedError& error) {
    return {"UnsupportedError", error.what()};
  } catch (const Error& error) {
    return {"another Error", error.what()};
  }  // anything else fails the test
}

std::string bad_file(const std::string& name) { return shared_file("testdata/bad/" + name); }

/// Valid containers: what is wrong is the model in them, which is not a matter of reading files.
bool may_be_opened(const std::string& name) {
  return name.starts_with("model-") || name == "dtype-int64.pth" || name == "st-missing-tensor.safetensors" ||
         name == "st-hole.safetensors";  // bytes of no tensor are let be
}

/// Opens the variants of a file that `change` makes, n of them; each must be opened or refused with an Error.
template <class Change>
int count_refused(const std::string& bytes, int n, Change&& change) {
  int n_refused = 0;
  for (int i = 0; i < n; ++i) {
    CAPTURE(i);
    const TemporaryFile file(".bad");  // a new one: file systems are slow in writing over an old one
    std::string variant = bytes;
    change(i, variant);
    write_file(file.path(), variant);
    const Outcome outcome = try_open(file.path());
    n_refused += outcome.kind.empty() ? 0 : 1;
    REQUIRE(outcome.message.find('\n') == std::string::npos);
  }
  return n_refused;
}

const std::string small_files[] = {
    "testdata/odd-valid/plain.pth",       "testdata/odd-valid/legacy.pth",
    "testdata/odd-valid/protocol4.pth",   "testdata/odd-valid/transposed-strides.pth",
    "testdata/odd-valid/one-storage.pth", "testdata/odd-valid/parameters.pth",
    "testdata/odd-valid/f16.safetensors", "testdata/odd-valid/f32-metadata-escapes.safetensors",
    "testdata/odd-valid/ggmf-fp32.bin",   "spec/golden/formats/v5_2_F16.bin",
    "spec/golden/formats/v6_F16.bin",     "spec/golden/formats/v7_F16.bin",
    "spec/golden/formats/v7_Q8_0.gguf",   "spec/golden/formats/v6_F32_rescale2.gguf"};

}  // namespace

TEST_SUITE_BEGIN("io/bad_files");

TEST_CASE("every bad file of the reference data is refused in one line that names it") {
  RWKV_NEEDS_SHARED();
  const auto manifest = nlohmann::json::parse(read_file(bad_file("manifest.json")));
  int n_refused = 0;
  for (const auto& entry : manifest.at("files")) {
    const auto name = entry.at("file").get<std::string>();
    CAPTURE(name);
    const Outcome outcome = try_open(bad_file(name));
    CAPTURE(outcome.message);
    if (outcome.kind.empty()) {
      CHECK(may_be_opened(name));
      continue;
    }
    CHECK(outcome.kind != "another Error");
    CHECK(outcome.message.find(name) != std::string::npos);
    CHECK(outcome.message.find('\n') == std::string::npos);
    CHECK(outcome.message.size() < 600);
    ++n_refused;
  }
  CHECK(n_refused >= 145);
  CHECK(!std::filesystem::exists("/tmp/PWNED_rwkv"));
}

TEST_CASE("the errors are of the right kind and name the culprit") {
  RWKV_NEEDS_SHARED();
  struct Case {
    std::string name, kind, phrase;
  };
  for (const Case& each : {
           Case{"directory.pth", "IoError", "found a directory"},
           Case{"empty.pth", "FormatError", "the file is empty"},
           Case{"html-error-page.pth", "FormatError", "an HTML page"},
           Case{"text.pth", "FormatError", "a text file"},
           Case{"zeros.pth", "FormatError", "zeros"},
           Case{"zip-is-a-docx.pth", "FormatError", "no data.pkl"},
           Case{"zip-no-data-pkl.pth", "FormatError", "no data.pkl"},
           Case{"zip-two-data-pkl.pth", "FormatError", "two checkpoints"},
           Case{"zip-crc-wrong.pth", "FormatError", "CRC"},
           Case{"zip-crc-field-wrong.pth", "FormatError", "'archive/data.pkl': the CRC"},
           Case{"zip-method-99.pth", "UnsupportedError", "found 99"},
           Case{"zip-duplicate-entry.pth", "FormatError", "'archive/data/12': the name occurs twice"},
           Case{"zip-path-traversal.pth", "FormatError", "leads out"},
           Case{"zip-byteorder-big.pth", "UnsupportedError", "found 'big'"},
           Case{"zip-size-4g.pth", "FormatError", "4294967280"},
           Case{"zip-offset-beyond.pth", "FormatError", "begins behind the zip directory"},
           Case{"zip-cd-offset-beyond.pth", "FormatError", "past the end"},
           Case{"zip-cd-count-65535.pth", "FormatError", "65535 entries"},
           Case{"zip64-locator-2e63.pth", "FormatError", "behind the end of the file, at byte 9223372036854775808"},
           Case{"truncated-17243.pth", "FormatError", "the end of the zip file is missing"},
           Case{"truncated-legacy-5660.pth", "FormatError", "ends too early"},
           Case{"pickle-os-system.pth", "FormatError", "'os.system'"},
           Case{"pickle-posix-system-as-value.pth", "FormatError", "'posix.system'"},
           Case{"pickle-eval.pth", "FormatError", "'builtins.eval'"},
           Case{"pickle-getattr-chain.pth", "FormatError", "'builtins.getattr'"},
           Case{"pickle-in-tensor-position.pth", "FormatError", "'os.system'"},
           Case{"pickle-inst.pth", "FormatError", "opcode 0x69"},
           Case{"pickle-legacy-os-system.pth", "FormatError", "a bare Python pickle"},
           Case{"pickle-unknown-global.pth", "FormatError", "'mymodule.MyTensor'"},
           Case{"pickle-unknown-opcode.pth", "FormatError", "opcode 0x75 at byte 6578"},
           Case{"pickle-whole-module.pth", "UnsupportedError", "module"},
           Case{"pickle-deep-nesting.pth", "FormatError", "nested too deeply"},
           Case{"pickle-duplicate-key.pth", "FormatError", "the name occurs twice"},
           Case{"pickle-huge-memo-put.pth", "FormatError", "4294967295"},
           Case{"pickle-self-reference.pth", "FormatError", "no tensors"},
           Case{"pickle-int-keys.pth", "FormatError", "no tensors with names"},
           Case{"pickle-not-a-dict.pth", "FormatError", "a single tensor"},
           Case{"dtype-unknown-storage.pth", "FormatError", "'torch.QUInt8Storage'"},
           Case{"storage-too-small.pth", "FormatError", "'blocks.0.att.key.weight': its storage '12' is too short"},
           Case{"storage-missing.pth", "FormatError", "'blocks.0.att.key.weight': its storage '12' is missing"},
           Case{"storage-key-path.pth", "FormatError", "'../../../../etc/passwd' is missing"},
           Case{"storage-offset-2e62.pth", "FormatError", "'blocks.0.att.key.weight': reaches out of its storage"},
           Case{"shape-overflow-to-zero.pth", "FormatError", "'blocks.0.att.key.weight': impossible shape"},
           Case{"shape-200-dims.pth", "FormatError", "found 202"},
           Case{"stride-overflow.pth", "FormatError", "'blocks.0.att.key.weight': reaches out of its storage"},
           Case{"stride-wrong-count.pth", "FormatError", "shape and strides differ"},
           Case{"st-overlap.safetensors", "FormatError", "overlaps"},
           Case{"st-header-ffff.safetensors", "FormatError", "18446744073709551615"},
           Case{"st-header-not-json.safetensors", "FormatError", "not valid JSON"},
           Case{"st-header-deep.safetensors", "FormatError", "expected an object, found a list"},
           Case{"st-duplicate-name.safetensors", "FormatError", "'blocks.0.ln1.weight': the name occurs twice"},
           Case{"st-shape-overflow.safetensors", "FormatError", "a possible shape"},
           Case{"ggmf-magic.bin", "UnsupportedError", "old ggml format"},
           Case{"ggmf-n-layer-more.bin", "FormatError", "'blocks.2.ln1.weight': is missing"},
           Case{"ggmf-n-layer-huge.bin", "FormatError", "'blocks.2.ln1.weight': is missing"},
           Case{"ggmf-n-vocab.bin", "FormatError", "expected [10, 8]"},
           Case{"ggmf-q5-not-multiple.bin", "FormatError",
                "'emb.weight': has type Q5_0: expected rows of a multiple of 32"},
           Case{"ggmf-duplicate.bin", "FormatError", "'emb.weight': the name occurs twice"},
           Case{"ggmf-key-length-huge.bin", "FormatError", "found 2 and 2147483647"},
           Case{"gguf-version-99.gguf", "FormatError", "expected 2 or 3, found 99"},
           Case{"gguf-n-tensors-huge.gguf", "FormatError", "impossible number of dimensions"},
           Case{"gguf-n-kv-huge.gguf", "FormatError", "ends too early"},
           Case{"gguf-key-length-huge.gguf", "FormatError", "expected 1152921504606846976 more bytes"},
           Case{"gguf-string-length-huge.gguf", "FormatError", "expected 9223372036854775808 more bytes"},
           Case{"gguf-array-length-huge.gguf", "FormatError", "ends too early"},
           Case{"gguf-array-u64-overflow.gguf", "FormatError", "ends too early"},
           Case{"gguf-value-type-unknown.gguf", "FormatError", "expected 0 to 12, found 77"},
           Case{"gguf-dims-100.gguf", "FormatError", "expected 1 to 4, found 100"},
           Case{"gguf-dims-overflow.gguf", "FormatError",
                "'output.weight': shape [4294967296, 4294967296] needs more bytes"},
           Case{"gguf-offset-beyond.gguf", "FormatError", "begins at an impossible place"},
           Case{"gguf-offset-unaligned.gguf", "FormatError", "expected a multiple of 32"},
           Case{"gguf-tensor-type-unknown.gguf", "FormatError", "unknown or removed data type: found 200"},
           Case{"gguf-q5-not-multiple.gguf", "FormatError", "expected rows of a multiple of 32 numbers"},
           Case{"gguf-alignment-0.gguf", "FormatError", "general.alignment: expected a power of two"},
           Case{"gguf-alignment-string.gguf", "FormatError", "general.alignment: expected a power of two"},
           Case{"gguf-other-architecture.gguf", "UnsupportedError", "expected rwkv6 or rwkv7, found 'llama'"},
           Case{"gguf-duplicate-tensor.gguf", "FormatError", "the name occurs twice"},
           Case{"gguf-duplicate-key.gguf", "FormatError", "a key of the metadata occurs twice"},
       }) {
    CAPTURE(each.name);
    const Outcome outcome = try_open(bad_file(each.name));
    CAPTURE(outcome.message);
    CHECK(outcome.kind == each.kind);
    CHECK(outcome.message.find(each.phrase) != std::string::npos);
  }
}

TEST_CASE("more tensors than any model has are refused") {
  Checkpoint checkpoint("many.pth");
  for (std::size_t i = 0; i < Checkpoint::max_tensors; ++i) checkpoint.add(std::to_string(i), TensorView{});
  CHECK_THROWS_WITH_AS(checkpoint.add("x", TensorView{}), doctest::Contains("many.pth: more than 100000 tensors"),
                       FormatError);
}

TEST_CASE("a wrong CRC-32 can be accepted on purpose") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"zip-crc-wrong.pth", "zip-crc-field-wrong.pth"}) {
    CHECK(open_checkpoint(bad_file(name), {.verify_checksums = false}).entries().size() == 42);
  }
}

TEST_CASE("a file cut anywhere is refused") {
  RWKV_NEEDS_SHARED();
  for (const std::string& name : small_files) {
    CAPTURE(name);
    const std::string bytes = read_file(shared_file(name));
    const int n_refused = count_refused(bytes, 100, [](int percent, std::string& variant) {
      variant.resize(variant.size() * static_cast<std::size_t>(percent) / 100);
    });
    // rwkv.cpp files do not count their tensors: between two tensors a cut shows only in the model.
    CHECK(n_refused >= (name.ends_with(".bin") ? 98 : 100));
  }
}

TEST_CASE("changed bytes give a checkpoint or an error") {
  RWKV_NEEDS_SHARED();
  constexpr std::uint64_t seed = 5;
  CAPTURE(seed);
  Random random(seed);
  for (const std::string& name : small_files) {
    CAPTURE(name);
    const std::string bytes = read_file(shared_file(name));
    // Where lengths and structure are: the front of most formats, the directory at the end of a zip file.
    const int n_refused = count_refused(bytes, 400, [&random](int i, std::string& variant) {
      const std::size_t range = std::min<std::size_t>(variant.size(), i % 2 == 0 ? 200 : 5000);
      for (int n = 0; n <= i % 4; ++n) {
        const std::size_t position = random.next() % range;
        variant[i % 8 < 6 ? position : variant.size() - 1 - position] = static_cast<char>(random.next() & 255u);
      }
    });
    CHECK(n_refused > 50);  // the fewest for the rwkv.cpp files, whose first bytes are mostly numbers
  }
}

TEST_CASE("pickles with changed bytes, behind checksums that do not stop them") {
  RWKV_NEEDS_SHARED();
  constexpr std::uint64_t seed = 6;
  CAPTURE(seed);
  Random random(seed);
  for (const std::string name :
       {"testdata/odd-valid/transposed-strides.pth", "spec/golden/formats/v1_late_whole_module.pth"}) {
    CAPTURE(name);
    const std::string source = read_file(shared_file(name));
    const ZipArchive archive("source", bytes_of(source));
    for (int i = 0; i < 1000; ++i) {
      const TemporaryFile file(".bad");
      std::vector<ZipPart> parts;
      for (const ZipEntry& entry : archive.entries()) {
        ZipPart part{.name = std::string(entry.name), .data = std::string(as_text(entry.data))};
        if (part.name.ends_with("data.pkl")) {
          for (int n = 0; n <= i % 3; ++n)
            part.data[random.next() % part.data.size()] = static_cast<char>(random.next() & 255u);
        }
        parts.push_back(part);
      }
      write_file(file.path(), make_zip(parts));
      CAPTURE(i);
      static_cast<void>(try_open(file.path()));
    }
  }
  CHECK(!std::filesystem::exists("/tmp/PWNED_rwkv"));
}

TEST_SUITE_END();
