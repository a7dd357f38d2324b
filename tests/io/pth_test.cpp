// SPDX-License-Identifier: MIT
#include "rwkv/io/pth.hpp"

#include "io/files.hpp"
#include "rwkv/io/safetensors.hpp"

using namespace rwkv;
using namespace rwkv_test;
using namespace std::string_literals;

namespace {

using Names = std::vector<std::string>;

Checkpoint read_bytes(const std::string& bytes, const OpenOptions& options = {}) {
  const TemporaryFile file(".pth");
  write_file(file.path(), bytes);
  return read_pth(map(file.path()), options);
}

/// A checkpoint with one storage "0" of the floats 0, 1, ..., 11.
std::string zip_with(const std::string& pickle, const std::vector<ZipPart>& more = {}) {
  std::string data;
  for (int i = 0; i < 12; ++i) data += number(static_cast<float>(i));
  std::vector<ZipPart> parts{{.name = "any/data.pkl", .data = "\x80\x02" + pickle + "."},
                             {.name = "any/data/0", .data = data}};
  parts.insert(parts.end(), more.begin(), more.end());
  return make_zip(parts);
}

std::string dict_of(const std::string& name, const std::string& value) {
  return "}" + pickled_text(name) + value + "s";
}

std::string zip_with_tensor(std::int64_t offset, const std::vector<std::int64_t>& shape,
                            const std::vector<std::int64_t>& strides, std::int64_t n_elements = 12) {
  return zip_with(dict_of("x", pickled_tensor("FloatStorage", "0", n_elements, offset, shape, strides)));
}

std::vector<float> values_of(const TensorView& tensor) {
  const auto values = read_all<float>(tensor);
  return {values.begin(), values.end()};
}

/// torch.nn.Module as pickled: an object whose attributes are these three dictionaries and others.
std::string pickled_module(const std::string& parameters, const std::string& buffers, const std::string& modules,
                           const std::string& more = "") {
  return pickled_global("some.module", "Class") + ")\x81}(" + pickled_text("training") + "\x88" +
         pickled_text("_parameters") + parameters + pickled_text("_buffers") + buffers + pickled_text("_modules") +
         modules + more + "ub";
}

/// The tensor [i].
std::string pickled_number(int i) { return pickled_tensor("FloatStorage", "0", 12, i, {1}, {1}); }

Names names_of(const Checkpoint& checkpoint) {
  Names names;
  for (const auto& entry : checkpoint.entries()) names.push_back(entry.name);
  return names;
}

Checkpoint read_shared(const std::string& name) { return read_pth(map(shared_file(name))); }

/// `narrow` holds the tensors of `wide`, rounded to the type.
void check_rounded(const Checkpoint& narrow, const Checkpoint& wide, DType dtype) {
  CHECK(narrow.entries().size() == wide.entries().size());
  for (const auto& entry : wide.entries()) {
    CAPTURE(entry.name);
    const TensorView& other = narrow.at(entry.name);
    REQUIRE(other.shape == entry.tensor.shape);
    REQUIRE(other.dtype == dtype);
    const auto values = read_all<float>(entry.tensor);
    const auto rounded = read_all<float>(other);
    for (Index i = 0; i < values.size(); ++i) {
      REQUIRE(rounded[i] ==
              (dtype == DType::f16 ? f16_to_f32(f32_to_f16(values[i])) : bf16_to_f32(f32_to_bf16(values[i]))));
    }
  }
}

}  // namespace

TEST_SUITE_BEGIN("io/pth");

TEST_CASE("a row-major tensor is a view into the file") {
  const TemporaryFile file(".pth");
  write_file(file.path(), zip_with_tensor(2, {2, 1, 3}, {3, 77, 1}));
  auto mapped = map(file.path());
  const auto bytes = mapped->bytes();
  TensorView tensor = read_pth(std::move(mapped)).at("x");
  CHECK(values_of(tensor) == std::vector<float>{2, 3, 4, 5, 6, 7});  // the view keeps the mapping alive
  CHECK(tensor.shape == Shape{2, 1, 3});
  CHECK(tensor.data > bytes.data());
  CHECK(tensor.data < bytes.data() + bytes.size());
}

TEST_CASE("other strides are gathered") {
  CHECK(values_of(read_bytes(zip_with_tensor(1, {2, 3}, {1, 2})).at("x")) == std::vector<float>{1, 3, 5, 2, 4, 6});
  CHECK(values_of(read_bytes(zip_with_tensor(0, {2, 2, 2}, {1, 4, 2})).at("x")) ==
        std::vector<float>{0, 2, 4, 6, 1, 3, 5, 7});
  CHECK(values_of(read_bytes(zip_with_tensor(11, {3}, {0})).at("x")) == std::vector<float>{11, 11, 11});
  CHECK(values_of(read_bytes(zip_with_tensor(5, {}, {})).at("x")) == std::vector<float>{5});
  CHECK(values_of(read_bytes(zip_with_tensor(5, {3, 0}, {1, 1})).at("x")).empty());
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  CHECK(values_of(read_bytes(zip_with_tensor(0, {2, 1, 2}, {1, huge, 2})).at("x")) == std::vector<float>{0, 2, 1, 3});
}

TEST_CASE("a tensor that leaves its storage is refused by name") {
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  struct Case {
    std::int64_t offset;
    std::vector<std::int64_t> shape, strides;
    std::string phrase;
  };
  const std::vector<Case> cases{
      {0, {13}, {1}, "reaches out of its storage '0': expected 12 elements"},
      {1, {12}, {1}, "reaches out"},
      {-1, {1}, {1}, "reaches out"},
      {12, {1}, {1}, "reaches out"},
      {huge, {2}, {1}, "reaches out"},
      {std::numeric_limits<std::int64_t>::min(), {2}, {1}, "reaches out"},
      {0, {4, 4}, {4, -1}, "reaches out"},
      {0, {3}, {huge}, "reaches out"},
      {0, {3, 3}, {huge, huge}, "reaches out"},
      {0, {-1, -12}, {1, 1}, "impossible shape: found [-1, -12]"},
      {0, {std::int64_t{1} << 32, std::int64_t{1} << 32}, {0, 0}, "impossible shape"},
      {0, {12}, {1, 1}, "shape and strides differ"},
      {0, std::vector<std::int64_t>(9, 1), std::vector<std::int64_t>(9, 1), "at most 8, found 9"},
      {0, {1 << 20}, {0}, "larger than the file justifies"},
      {0, {huge / 4}, {0}, "larger than the file justifies"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.phrase);
    CHECK_THROWS_WITH_AS(read_bytes(zip_with_tensor(each.offset, each.shape, each.strides)),
                         doctest::Contains(each.phrase.c_str()), FormatError);
  }
  CHECK_THROWS_WITH_AS(read_bytes(zip_with_tensor(0, {13}, {1}, 13)), doctest::Contains("storage '0' is too short"),
                       FormatError);
  CHECK_THROWS_WITH_AS(read_bytes(zip_with_tensor(0, {1}, {1}, huge)), doctest::Contains("number of elements"),
                       FormatError);
}

TEST_CASE("wrapped dictionaries are found, other values are left out") {
  const std::string tensor = pickled_tensor("FloatStorage", "0", 12, 0, {12}, {1});
  const std::string inner = dict_of("x", tensor) + pickled_text("epoch") + "K\x01s"s + pickled_text("none") + "Ns";
  for (const std::string& wrapped :
       {inner, dict_of("state_dict", inner), dict_of("model", dict_of("state_dict", inner)),
        dict_of("optimizer", dict_of("y", tensor)) + pickled_text("module") + inner + "s"}) {
    const Checkpoint checkpoint = read_bytes(zip_with(wrapped));
    REQUIRE(checkpoint.entries().size() == 1);
    CHECK(checkpoint.contains("x"));
  }
}

TEST_CASE("what is no dictionary of tensors is refused") {
  const std::string tensor = pickled_tensor("FloatStorage", "0", 12, 0, {12}, {1});
  CHECK_THROWS_WITH_AS(read_bytes(zip_with(tensor)), doctest::Contains("found a single tensor"), FormatError);
  CHECK_THROWS_WITH_AS(read_bytes(zip_with("]")),
                       doctest::Contains("expected a dictionary or a list of tensors, found an empty list"),
                       FormatError);
  CHECK_THROWS_WITH_AS(read_bytes(zip_with("}")), doctest::Contains("no tensors"), FormatError);
  CHECK_THROWS_WITH_AS(read_bytes(zip_with("}q\x00"s + pickled_text("model") + "h\x00s"s)),
                       doctest::Contains("no tensors"), FormatError);
  CHECK_THROWS_WITH_AS(read_bytes(zip_with(dict_of("x", tensor) + pickled_text("x") + tensor + "s")),
                       doctest::Contains("'x': the name occurs twice"), FormatError);
}

TEST_CASE("a list of tensors is named by position") {
  for (const std::string& list :
       {"](" + pickled_number(3) + pickled_number(5) + "e", pickled_number(3) + pickled_number(5) + "\x86"}) {
    const Checkpoint checkpoint = read_bytes(zip_with(list));
    CHECK(names_of(checkpoint) == Names{"0", "1"});
    CHECK(values_of(checkpoint.at("1")) == std::vector<float>{5});
  }
  struct Case {
    std::string entry, kind;
  };
  for (const Case& each :
       {Case{"N", "None"}, Case{"}", "a dictionary"}, Case{"K\x01", "a number"},
        Case{"G?\xf8" + std::string(6, '\0'), "a number"}, Case{"\x88", "a truth value"}, Case{"]", "an empty list"},
        Case{"](K\x01"
             "e",
             "a list"},
        Case{"K\x01\x85", "a tuple"}, Case{pickled_text("x"), "a text"}, Case{"C\x01x", "something else"},
        Case{pickled_global("some.module", "Class") + ")\x81", "an object of class 'some.module.Class'"}}) {
    CAPTURE(each.kind);
    const std::string message = "entry 1 of the pickled list: expected a tensor, found " + each.kind +
                                ". If this is a State, save the list that RWKV.forward returned.";
    CHECK_THROWS_WITH_AS(read_bytes(zip_with("](" + pickled_number(3) + each.entry + "e")),
                         doctest::Contains(message.c_str()), FormatError);
  }
}

TEST_CASE("a module gives the names of its state dict") {
  const std::string set = pickled_text("_non_persistent_buffers_set");
  const std::string buffers = "}(" + pickled_text("b") + pickled_number(2) + pickled_text("hidden") + "Nu";
  const std::string leaf = pickled_module(dict_of("w", pickled_number(1)) + pickled_text("bias") + "Ns", buffers, "}");
  for (const std::string& hidden : {"\x8f(" + pickled_text("hidden") + "\x90",
                                    pickled_global("__builtin__", "set") + "](" + pickled_text("hidden") + "e\x85R"}) {
    const std::string own = dict_of("hidden", pickled_number(3)) + pickled_text("mask") + pickled_number(4) + "s";
    const std::string modules = "}(" + pickled_text("0") + leaf + pickled_text("none") + "N" + pickled_text("1") +
                                pickled_module("}", "}", dict_of("a", leaf)) + "u";
    const Checkpoint checkpoint =
        read_bytes(zip_with(pickled_module(dict_of("top", pickled_number(5)), own, modules, set + hidden)));
    CHECK(names_of(checkpoint) == Names{"top", "mask", "0.w", "0.b", "1.a.w", "1.a.b"});
    CHECK(values_of(checkpoint.at("1.a.b")) == std::vector<float>{2});
  }
}

TEST_CASE("what is no module of tensors is refused") {
  const std::string tensors = dict_of("w", pickled_number(1));
  struct Case {
    std::string module, phrase;
  };
  for (const Case& each :
       {Case{pickled_global("some.module", "Class") + ")\x81}b", "found an object of class 'some.module.Class'"},
        Case{pickled_global("some.module", "Class") + ")\x81", "found an object of class 'some.module.Class'"},
        Case{pickled_global("some.module", "Class") + ")\x81Nb", "found an object of class 'some.module.Class'"},
        Case{pickled_module(dict_of("w", "K\x01"), "}", "}"), "'w': is neither a tensor nor None"},
        Case{pickled_module(tensors, dict_of("b", "}"), "}"), "'b': is neither a tensor nor None"},
        Case{pickled_module("}", "}", dict_of("m", tensors)), "module 'm': is neither a module nor None"},
        Case{pickled_module("}", "}", dict_of(std::string(1025, 'm'), pickled_module(tensors, "}", "}"))),
             "names that are too long"}}) {
    CAPTURE(each.phrase);
    CHECK_THROWS_WITH_AS(read_bytes(zip_with(each.module)), doctest::Contains(each.phrase.c_str()), FormatError);
  }
  CHECK_THROWS_WITH_AS(read_bytes(zip_with(pickled_module("}", "}", "}"))), doctest::Contains("without parameters"),
                       UnsupportedError);
}

TEST_CASE("a module with a type or a function among its attributes is refused with the way out") {
  for (const auto& [module, name] : {std::pair{"torch", "float32"}, std::pair{"torch.nn.functional", "relu"}}) {
    const std::string attribute = pickled_text("used") + pickled_global(module, name);
    const std::string message = "global '" + std::string(module) + "." + name +
                                "' is not allowed, a checkpoint needs tensors only. If this is a whole module, save "
                                "model.state_dict() instead.";
    CHECK_THROWS_WITH_AS(read_bytes(zip_with(pickled_module(dict_of("w", pickled_number(1)), "}", "}", attribute))),
                         doctest::Contains(message.c_str()), FormatError);
  }
}

TEST_CASE("modules that contain each other end") {
  // Memo slot 0 is the module itself.
  const std::string self = pickled_global("some.module", "Class") + ")\x81q\x00}("s + pickled_text("_parameters") +
                           "}" + pickled_text("_modules") + dict_of("m", "h\x00"s) + "ub";
  CHECK_THROWS_WITH_AS(read_bytes(zip_with(self)), doctest::Contains("is nested too deeply"), FormatError);
  // Each module contains the one before twice: 2^40 paths.
  std::string doubled = pickled_module("}", "}", "}") + "q\x00"s;
  for (int i = 0; i < 40; ++i) {
    doubled += pickled_module("}", "}", dict_of("a", "h\x00"s) + pickled_text("b") + "h\x00s"s) + "q\x00"s;
  }
  CHECK_THROWS_WITH_AS(read_bytes(zip_with(doubled)), doctest::Contains("has more parts than any model"), FormatError);
}

TEST_CASE("the archive must be one checkpoint, little-endian and undamaged") {
  const std::string pickle = dict_of("x", pickled_tensor("FloatStorage", "0", 12, 0, {12}, {1}));
  CHECK_NOTHROW(read_bytes(zip_with(pickle, {{.name = "any/byteorder", .data = "little"}})));
  CHECK_THROWS_WITH_AS(read_bytes(zip_with(pickle, {{.name = "any/byteorder", .data = "big"}})),
                       doctest::Contains("found 'big'"), UnsupportedError);
  CHECK_THROWS_WITH_AS(read_bytes(zip_with(pickle, {{.name = "other/data.pkl", .data = ""}})),
                       doctest::Contains("two checkpoints"), FormatError);
  CHECK_THROWS_WITH_AS(read_bytes(zip_with(pickle, {{.name = "any/constants.pkl", .data = ""}})),
                       doctest::Contains("TorchScript"), UnsupportedError);
  CHECK_THROWS_WITH_AS(read_bytes(make_zip({{.name = "word/document.xml", .data = "x"}})),
                       doctest::Contains("no data.pkl"), FormatError);
  const std::string damaged = zip_with(pickle, {{.name = "any/version", .data = "3", .crc_error = 1}});
  CHECK_THROWS_WITH_AS(read_bytes(damaged), doctest::Contains("CRC-32"), FormatError);
  CHECK_NOTHROW(read_bytes(damaged, {.verify_checksums = false}));
}

TEST_CASE("comparing checksums tells how far it is, and ends where that throws") {
  const std::string bytes = zip_with_tensor(0, {12}, {1});
  std::vector<Index> done;
  Index all = 0;
  const OpenOptions options{.progress = [&](Index n_done, Index n_total) {
    done.push_back(n_done);
    all = n_total;
  }};
  CHECK(read_bytes(bytes, options).find("x") != nullptr);
  CHECK(done.size() == 2);  // data.pkl and the storage
  CHECK(std::ranges::is_sorted(done));
  REQUIRE(!done.empty());
  CHECK(done.back() == all);
  CHECK(all > 48);

  struct Stop {};
  CHECK_THROWS_AS(read_bytes(bytes, {.progress = [](Index, Index) { throw Stop(); }}), Stop);
  CHECK_NOTHROW(read_bytes(bytes, {.verify_checksums = false, .progress = [](Index, Index) { throw Stop(); }}));
}

TEST_CASE("the legacy form: storages follow the pickles") {
  const std::string head = std::string(detail::legacy_pth_magic) + "\x80\x02M\xe9\x03."s + "\x80\x02}" +
                           pickled_text("little_endian") + "\x88s.";
  const std::string object = "\x80\x02" + dict_of("x", pickled_tensor("ShortStorage", "7", 3, 1, {2}, {1}, true)) +
                             ".\x80\x02]" + pickled_text("7") + "a.";
  const std::string data = u64(3) + u16(5) + u16(6) + u16(7);
  const Checkpoint checkpoint = read_bytes(head + object + data);
  REQUIRE(checkpoint.contains("x"));
  CHECK(checkpoint.at("x").dtype == DType::i16);
  CHECK(bytes_of(checkpoint.at("x")) == u16(6) + u16(7));
  CHECK_THROWS_WITH_AS(read_bytes(head + object + u64(4) + data.substr(8)),
                       doctest::Contains("expected 3 elements, found 4"), FormatError);
  CHECK_THROWS_WITH_AS(read_bytes(head + object + data.substr(0, 13)), doctest::Contains("ends too early"),
                       FormatError);
  std::string big_endian = head + object + data;
  big_endian[head.size() - 3] = '\x89';
  CHECK_THROWS_WITH_AS(read_bytes(big_endian), doctest::Contains("little_endian"), FormatError);
}

TEST_CASE("v4 in fp32: the zip form and the legacy form hold the same tensors") {
  RWKV_NEEDS_SHARED();
  const Checkpoint zip = read_shared("testdata/models/v4/v4-fp32.pth");
  CHECK(zip.at("emb.weight").shape == Shape{256, 64});
  check_same(read_shared("testdata/models/v4/v4-fp32-legacy.pth"), zip);
}

TEST_CASE("v4 in fp16 and bf16 is v4 in fp32, rounded") {
  RWKV_NEEDS_SHARED();
  const Checkpoint wide = read_shared("testdata/models/v4/v4-fp32.pth");
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const Checkpoint narrow =
        read_shared(dtype == DType::f16 ? "testdata/models/v4/v4-fp16.pth" : "testdata/models/v4/v4-bf16.pth");
    check_rounded(narrow, wide, dtype);
  }
}

TEST_CASE("every checkpoint of the reference models is read") {
  RWKV_NEEDS_SHARED();
  int n_files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(shared_file("testdata/models"))) {
    if (entry.path().extension() != ".pth") continue;
    CAPTURE(entry.path().string());
    CHECK(read_pth(map(entry.path().string())).entries().size() > 10);
    ++n_files;
  }
  CHECK(n_files >= 20);
}

TEST_CASE("unusual files of one model hold its tensors") {
  RWKV_NEEDS_SHARED();
  const Checkpoint plain = read_shared("testdata/odd-valid/plain.pth");
  for (const std::string name : {"plain-dict", "legacy", "protocol4", "parameters", "transposed-strides", "one-storage",
                                 "shuffled-order", "state-dict-metadata", "newer-torch-entries", "cuda-device"}) {
    CAPTURE(name);
    check_same(read_shared("testdata/odd-valid/"s + name + ".pth"), plain);
  }
  const Checkpoint extra = read_shared("testdata/odd-valid/extra-tensors.pth");
  CHECK(first_difference(extra, plain) == "");
  CHECK(extra.entries().size() == plain.entries().size() + 2);
  const Checkpoint squeezed = read_shared("testdata/odd-valid/squeezed-time-mix.pth");
  for (const auto& [name, tensor] : plain.entries()) CHECK(bytes_of(squeezed.at(name)) == bytes_of(tensor));
  CHECK(squeezed.at("blocks.0.att.time_mix_k").shape == Shape{8});
  CHECK_THROWS_WITH_AS(read_shared("testdata/odd-valid/deflated.pth"), doctest::Contains("deflated"), UnsupportedError);
}

TEST_CASE("a v7 model in every PyTorch form") {
  RWKV_NEEDS_SHARED();
  const Checkpoint expected = read_safetensors(map(shared_file("spec/golden/models/v7.safetensors")));
  for (const std::string name : {"zip_f32", "legacy_f32", "wrapped", "parameters", "shared_storage"}) {
    CAPTURE(name);
    check_same(read_shared("spec/golden/formats/v7_"s + name + ".pth"), expected);
  }
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const std::string name = dtype == DType::f16 ? "zip_fp16" : "zip_bf16";
    check_rounded(read_shared("spec/golden/formats/v7_" + name + ".pth"), expected, dtype);
  }
}

TEST_CASE("files that belong to a model are opened") {
  RWKV_NEEDS_SHARED();
  const Checkpoint state = read_shared("spec/golden/formats/v7_time_state.pth");
  CHECK(state.at("blocks.0.att.time_state").shape == Shape{2, 16, 16});
  CHECK(state.entries().size() == 3);
  const Checkpoint lora = read_shared("spec/golden/formats/v7_lora.pth");
  CHECK(lora.at("blocks.0.att.key.lora_A").shape == Shape{4, 32});
}

TEST_CASE("a whole module of the first RWKV holds the tensors of its state dict") {
  RWKV_NEEDS_SHARED();
  const Checkpoint expected = read_safetensors(map(shared_file("spec/golden/models/v1_late.safetensors")));
  check_same(read_shared("spec/golden/formats/v1_late_whole_module.pth"), expected);
  const auto file = map(shared_file("spec/golden/formats/v1_late_whole_module.pth"));
  CHECK_THROWS_WITH_AS(
      static_cast<void>(read_pth(file, {.allow_pickled_modules = false})),
      doctest::Contains("holds a whole pickled module, an object of class 'torch.nn.modules.module.Module'"),
      UnsupportedError);
}

TEST_CASE("foreign globals are refused") {
  RWKV_NEEDS_SHARED();
  CHECK_THROWS_WITH_AS(read_shared("spec/golden/formats/refuse_global.pth"), doctest::Contains("'builtins.print'"),
                       FormatError);
}

TEST_SUITE_END();
