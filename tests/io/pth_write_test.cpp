// SPDX-License-Identifier: MIT
#include "rwkv/io/pth_write.hpp"

#include "io/files.hpp"
#include "rwkv/io/pth.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

/// A tensor of every type that PyTorch has, a scalar, an empty one, and names that need care.
Checkpoint every_type() {
  Checkpoint checkpoint;
  for (const DTypeInfo& type : dtype_infos) {
    if (type.block_elements != 1) continue;
    const std::vector<std::byte> bytes(static_cast<std::size_t>(6 * type.block_bytes), std::byte{1});
    checkpoint.add(std::string(type.name), make_tensor<std::byte>(type.dtype, {3, 2}, bytes));
  }
  checkpoint.add("scalar", make_tensor({}, std::vector<float>{7}));
  checkpoint.add("empty", make_tensor({2, 0}, std::vector<float>{}));
  checkpoint.add("five", make_tensor({1, 2, 1, 3, 1}, std::vector<float>{1, 2, 3, 4, 5, 6}));
  checkpoint.add("\"quotes\"\n'\\ \xc3\xa9 \xf0\x9f\x90\xa6", make_tensor({1}, std::vector<float>{8}));
  checkpoint.metadata() = {{"text", "line\n\"\\ \xe2\x82\xac"}};
  return checkpoint;
}

/// What a Python program prints, or nothing where there is no Python with PyTorch.
std::optional<std::string> python(const std::string& program, const std::string& argument) {
  const TemporaryFile script(".py"), out(".txt");
  write_file(script.path(), program);
  for (const std::string interpreter : {"/usr/bin/python3", "python3"}) {
    if (std::system((interpreter + " -c 'import torch' 2>/dev/null").c_str()) != 0) continue;
    const std::string command = interpreter + " " + script.path() + " " + argument + " >" + out.path();
    REQUIRE(std::system(command.c_str()) == 0);
    return read_file(out.path());
  }
  return std::nullopt;
}

}  // namespace

TEST_SUITE_BEGIN("io/pth_write");

TEST_CASE("what is written is read again: every type, scalars, empty tensors, metadata, odd names") {
  const Checkpoint checkpoint = every_type();
  const TemporaryFile file(".pth"), again(".pth");
  write_pth(planned(checkpoint), file.path());
  const Checkpoint found = read_pth(map(file.path()));
  check_same(found, checkpoint);
  CHECK(found.metadata() == checkpoint.metadata());
  for (const Checkpoint::Entry& entry : found.entries()) {
    CAPTURE(entry.name);
    CHECK(reinterpret_cast<std::uintptr_t>(entry.tensor.data) % 64 == 0);
  }
  write_pth(planned(found), again.path());
  CHECK(read_file(again.path()) == read_file(file.path()));
}

TEST_CASE("PyTorch loads it") {
  const Checkpoint checkpoint = every_type();
  const TemporaryFile file(".pth");
  write_pth(planned(checkpoint), file.path());
  // What a program of PyTorch sees: names, types, shapes, whether contiguous, and every byte.
  const auto printed = python(R"(
import inspect, sys, torch
options = {"weights_only": True} if "weights_only" in inspect.signature(torch.load).parameters else {}
for name, tensor in torch.load(sys.argv[1], **options).items():
    data = tensor.contiguous().reshape(-1)
    data = data.view(torch.uint8) if data.dtype != torch.bool and data.numel() else data.to(torch.uint8)
    print(ascii(name), tensor.dtype, list(tensor.shape), tensor.is_contiguous(), bytes(data.tolist()).hex())
)",
                              file.path());
  if (!printed) {
    std::printf("SKIPPED: no python3 with PyTorch\n");
    return;
  }
  const std::string eight = "0101010101010101", four = "01010101", two = "0101";
  const auto six = [](const std::string& value) { return value + value + value + value + value + value; };
  CHECK(*printed == "'f32' torch.float32 [3, 2] True " + six(four) + "\n" +       //
                        "'f16' torch.float16 [3, 2] True " + six(two) + "\n" +    //
                        "'bf16' torch.bfloat16 [3, 2] True " + six(two) + "\n" +  //
                        "'f64' torch.float64 [3, 2] True " + six(eight) + "\n" +  //
                        "'i64' torch.int64 [3, 2] True " + six(eight) + "\n" +    //
                        "'i32' torch.int32 [3, 2] True " + six(four) + "\n" +     //
                        "'i16' torch.int16 [3, 2] True " + six(two) + "\n" +      //
                        "'i8' torch.int8 [3, 2] True " + six("01") + "\n" +       //
                        "'u8' torch.uint8 [3, 2] True " + six("01") + "\n" +      //
                        "'bool' torch.bool [3, 2] True " + six("01") + "\n" +     //
                        "'scalar' torch.float32 [] True 0000e040\n" +             //
                        "'empty' torch.float32 [2, 0] True \n" +                  //
                        "'five' torch.float32 [1, 2, 1, 3, 1] True " +            //
                        "0000803f0000004000004040000080400000a0400000c040\n" +    //
                        "'\"quotes\"\\n\\'\\\\ \\xe9 \\U0001f426' torch.float32 [1] True 00000041\n");
}

TEST_CASE("metadata that are none are refused") {
  const auto read_with = [](const std::string& metadata) {
    const TemporaryFile file(".pth");
    const std::string pickle =
        "\x80\x02}(" + pickled_text("a") + pickled_tensor("FloatStorage", "0", 1, 0, {1}, {1}) + "u.";
    write_file(file.path(), make_zip({{.name = "x/data.pkl", .data = pickle},
                                      {.name = "x/rwkv.json", .data = metadata},
                                      {.name = "x/data/0", .data = std::string(4, '\0')}}));
    return read_pth(map(file.path()));
  };
  CHECK(read_with(R"({"a": "b"})").metadata().at("a") == "b");
  for (const char* const metadata :
       {"", "[]", "{", R"({"a": 1})", R"({"a": "b", "a": "c"})", R"({"a": "b"} x)", "\xff"}) {
    CAPTURE(metadata);
    CHECK_THROWS_WITH_AS(read_with(metadata), doctest::Contains("rwkv.json"), FormatError);
  }
}

TEST_CASE("what PyTorch cannot hold is refused, and no file appears") {
  const TemporaryFile file(".pth");
  PlannedFile plan{{planned("a", make_tensor({1}, std::vector<float>{1})), {"q", DType::q8_0, {32}, {}}}, {}};
  CHECK_THROWS_WITH_AS(write_pth(plan, file.path()), doctest::Contains("'q': PyTorch has no type q8_0"),
                       UnsupportedError);
  CHECK(!std::filesystem::exists(file.path()));
  plan.tensors[1] = planned("\xff", make_tensor({1}, std::vector<float>{1}));
  CHECK_THROWS_WITH_AS(write_pth(plan, file.path()), doctest::Contains("not UTF-8"), ArgumentError);
}

TEST_CASE("numbers that are too large for 32 bits go into the fields of zip64") {
  // As if 32 bits ended at 100: with the true end the file would take 4 GB.
  const TemporaryFile file(".zip");
  const std::string large(1000, 'x');
  ZipWriter zip(file.path(), 100);
  zip.add("small", "here");
  zip.add("large", large);
  zip.add("behind", "it");
  zip.commit();
  const auto mapped = map(file.path());
  const ZipArchive archive(mapped->path(), mapped->bytes());
  for (const auto& expected :
       {std::pair<std::string, std::string>{"small", "here"}, {"large", large}, {"behind", "it"}}) {
    const std::string& name = expected.first;
    CAPTURE(name);
    REQUIRE(archive.find(name) != nullptr);
    CHECK(as_text(archive.stored(*archive.find(name))) == expected.second);
    CHECK_NOTHROW(archive.verify(*archive.find(name)));
  }
  const auto checked = python("import sys, torch, zipfile\nprint(zipfile.ZipFile(sys.argv[1]).testzip())", file.path());
  if (checked) CHECK(*checked == "None\n");
}

TEST_SUITE_END();
