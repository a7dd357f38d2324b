// SPDX-License-Identifier: MIT
// rwkv embed, as a user runs it.
#include <nlohmann/json.hpp>

#include "examples/program.hpp"

using namespace rwkv_test;

namespace {

constexpr int error = 1, wrong_usage = 2;

double product(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace

TEST_SUITE_BEGIN("examples/embed");

TEST_CASE("a line of JSON for each line, of length 1, and what is alike lies near") {
  const Result result = shell(
      "printf 'The princess lived in the castle with the old king.\\n\"Come here!\" said the fox to the little "
      "bird.\\r\\n"
      "The king and the queen of the castle had one princess.' | " +
      std::string(RWKV_PROGRAM) + " embed");
  CHECK(result.status == 0);
  CHECK(result.err.empty());
  std::vector<std::vector<float>> found;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) found.push_back(nlohmann::json::parse(line));
  REQUIRE(found.size() == 3);
  for (const std::vector<float>& each : found) CHECK(product(each, each) == doctest::Approx(1).epsilon(1e-6));
  CHECK(product(found[0], found[2]) > product(found[0], found[1]));
  CHECK(product(found[0], found[2]) > product(found[2], found[1]));
}

TEST_CASE("a .npy holds the same numbers") {
  const TemporaryFile texts(".txt"), out(".npy");
  write_file(texts.path(), "Once upon a time\nthere was a king\n");
  REQUIRE(program("embed " + texts.path() + " --out " + out.path()).status == 0);
  const std::string bytes = read_file(out.path());
  REQUIRE(bytes.size() > 128);
  CHECK(bytes.starts_with(std::string("\x93NUMPY\x01\0", 8)));
  const std::size_t n_head = 10 + static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  CHECK(n_head % 64 == 0);
  CHECK(bytes[n_head - 1] == '\n');
  std::istringstream lines(program("embed " + texts.path()).out);
  std::string expected;
  std::size_t n = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::vector<float> row = nlohmann::json::parse(line);
    n = row.size();
    expected.append(reinterpret_cast<const char*>(row.data()), row.size() * sizeof(float));
  }
  CHECK(bytes.substr(n_head) == expected);
  CHECK(bytes.substr(10).starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, " + std::to_string(n) +
                                     "), }"));
  if (std::system("/usr/bin/python3 -c 'import numpy' 2> /dev/null") == 0) {
    const Result numpy = shell("/usr/bin/python3 -c 'import numpy; x = numpy.load(\"" + out.path() +
                               "\"); print(x.shape[0], x.dtype, round(float((x[1] ** 2).sum()), 5))'");
    CHECK(numpy.out == "2 float32 1.0\n");
  }
}

TEST_CASE("no lines, no vectors, and an empty line is an error that is told") {
  const TemporaryFile texts(".txt");
  write_file(texts.path(), "");
  CHECK(program("embed " + texts.path()).out.empty());
  write_file(texts.path(), "a\n\nb\n");
  check_error("embed " + texts.path(), error, "line 2: is empty");
  check_error("embed " + texts.path() + " --out " + texts.path(), wrong_usage, "--out and FILE are the same file");
  check_error("embed /missing.txt", error, "/missing.txt: cannot open");
}

TEST_SUITE_END();
