// SPDX-License-Identifier: Apache-2.0
// The .npy header as numpy's format document defines it (numpy.lib.format, versions 1.0 to 3.0).
#include "simulator/npy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "simulator/strict_json.h"
#include "tests/simulator/scratch_folder.h"

namespace assay::simulator {
namespace {

std::string npy(int major, int minor, const std::string& dictionary, std::size_t data_bytes) {
  std::string text = "\x93NUMPY";
  text += static_cast<char>(major);
  text += static_cast<char>(minor);
  const auto length = static_cast<std::uint32_t>(dictionary.size());
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) text += static_cast<char>(length >> (8 * i) & 255);
  return text + dictionary + std::string(data_bytes, '\0');
}
std::string dictionary(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
}
NpyHeader parse(const std::string& text) {
  return parse_npy(std::as_bytes(std::span(text.data(), text.size())), "f");
}
std::string refusal(const std::string& text) {
  return message_of<InputError>([&] { (void)parse(text); });
}

TEST(Npy, EveryVersionSaysWhereTheElementsBegin) {
  const std::string words = dictionary("|u1", "(3,)");
  for (const int major : {1, 2, 3}) {
    const NpyHeader header = parse(npy(major, 0, words, 3));
    EXPECT_EQ(header.data_begin, (major == 1 ? 10 : 12) + words.size());
    EXPECT_EQ(header.data_bytes, 3U);
    EXPECT_EQ(header.dtype, Dtype::u8);
  }
  for (const int major : {0, 4, 255}) {
    EXPECT_NE(refusal(npy(major, 0, words, 3)).find("unknown .npy version"), std::string::npos);
  }
  EXPECT_EQ(refusal(npy(2, 1, words, 3)), "f: unknown .npy version 2.1.");
}

TEST(Npy, ShapesAreTuplesOfNaturalNumbers) {
  using Shape = std::vector<std::int64_t>;
  const std::pair<const char*, Shape> right[] = {
      {"()", {}},          {"(9,)", {9}},         {"(1, 9)", {1, 9}},
      {"(9, 1,)", {9, 1}}, {"( 2 , 3 )", {2, 3}}, {"(0, 1234567890)", {0, 1234567890}},
  };
  for (const auto& [text, shape] : right) {
    std::size_t bytes = 1;
    for (const auto extent : shape) bytes *= static_cast<std::size_t>(extent);
    EXPECT_EQ(parse(npy(1, 0, dictionary("|u1", text), bytes)).shape, shape) << text;
  }
  for (const char* wrong : {"(9)", "(,)", "(a,)", "(-1,)", "(1, 2", "9", "(9223372036854775808,)",
                            "(99999999999999999999,)", "(1 2)", "(1,,2)"}) {
    EXPECT_NE(refusal(npy(1, 0, dictionary("|u1", wrong), 9)).find("bad .npy header"),
              std::string::npos)
        << wrong;
  }
  std::string extents = "(";
  for (int i = 0; i < 64; ++i) extents += "1,";
  EXPECT_EQ(parse(npy(1, 0, dictionary("|u1", extents + ")"), 1)).shape.size(), 64U);
  EXPECT_NE(refusal(npy(1, 0, dictionary("|u1", extents + "1)"), 1)).find("more than 64 extents"),
            std::string::npos);
}

TEST(Npy, ADamagedDictionaryIsRefused) {
  const std::string d = "'descr': '|u1'", f = "'fortran_order': False", s = "'shape': (1,)";
  EXPECT_EQ(parse(npy(1, 0, "{" + d + "," + f + "," + s + "}", 1)).shape.size(), 1U);
  EXPECT_EQ(parse(npy(1, 0, "{" + s + "," + d + "," + f + ",} \n", 1)).shape.size(), 1U);
  EXPECT_EQ(parse(npy(1, 0, "{\"descr\": \"|u1\"," + f + "," + s + "}", 1)).dtype, Dtype::u8);
  const std::pair<std::string, const char*> wrong[] = {
      {"{" + d + "," + f + "}", "is missing"},
      {"{" + d + "," + f + "," + s + "," + s + "}", "stands twice"},
      {"{" + d + "," + f + "," + s + ", 'x': 1}", "unknown key 'x'"},
      {"{" + d + "," + f + "," + s + "} x", "something follows"},
      {"{" + d + "," + f + "," + s, "expected"},
      {"{" + d + " " + f + "," + s + "}", "expected '}'"},
      {"{'descr' '|u1'," + f + "," + s + "}", "expected ':'"},
      {"{'descr': [('a', '|u1')]," + f + "," + s + "}", "structured"},
      {"{'descr': '|u1," + f + "," + s + "}", "expected"},
      {"{'descr': '\\x7c'," + f + "," + s + "}", "escapes"},
      {"{'descr': 'a\tb'," + f + "," + s + "}", "escapes"},
      {"{" + d + ",'fortran_order': 0," + s + "}", "True or False"},
      {"{'descr': '|u1", "does not end"},
      {"", "expected '{'"},
  };
  for (const auto& [text, says] : wrong) {
    const std::string message = refusal(npy(1, 0, text, 1));
    EXPECT_NE(message.find(says), std::string::npos) << text << ": " << message;
  }
  EXPECT_NE(refusal(npy(1, 0, "{" + d + ",'fortran_order': True,'shape': (2, 3)}", 6)), "");
}

TEST(Npy, EveryCutAndEveryByteTooManyIsRefused) {
  const std::string whole = npy(1, 0, dictionary("<f4", "(2,)"), 8);
  EXPECT_EQ(parse(whole).data_bytes, 8U);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(refusal(whole.substr(0, size)), "") << size;
  }
  EXPECT_NE(refusal(whole + '\0').find("the file has 9"), std::string::npos);
  EXPECT_NE(refusal(npy(1, 0, dictionary(">f4", "(2,)"), 8)).find("big endian"), std::string::npos);
  EXPECT_NE(refusal(npy(1, 0, dictionary("<c8", "(1,)"), 8)).find("is not one of"),
            std::string::npos);
}

TEST(Npy, EveryElementTypeIsWrittenAndReadBack) {
  for (const char* name :
       {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}) {
    const DtypeInfo* row = find_dtype(name);
    ASSERT_NE(row, nullptr) << name;
    for (const std::vector<std::int64_t>& shape :
         {std::vector<std::int64_t>{}, {3}, {2, 3}, {2, 3, 4}}) {
      std::size_t bytes = static_cast<std::size_t>(row->bits) / 8;
      for (const auto extent : shape) bytes *= static_cast<std::size_t>(extent);
      const std::string written = npy_header(row->dtype, shape);
      EXPECT_EQ(written.size() % 64, 0U) << "numpy aligns the elements to 64 bytes";
      EXPECT_EQ(written.back(), '\n');
      const NpyHeader header = parse(written + std::string(bytes, '\0'));
      EXPECT_EQ(header.dtype, row->dtype);
      EXPECT_EQ(header.shape, shape);
      EXPECT_EQ(header.data_begin, written.size());
    }
  }
  EXPECT_THROW((void)npy_header(Dtype::bf16, std::vector<std::int64_t>{1}), std::invalid_argument);
}

TEST(Npy, RowsAreThoseOfTheFlattenedMatrix) {
  const ScratchFolder folder;
  std::vector<float> x(24);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  NpyWriter writer(folder / "a.npy", Dtype::f32, {2, 3, 4});
  writer.write_at(48, std::as_bytes(std::span(x).subspan(12)));
  writer.write_at(0, std::as_bytes(std::span(x).first(12)));
  writer.commit();
  const NpyFile file(folder / "a.npy");
  EXPECT_EQ(file.rows(), 6);
  EXPECT_EQ(file.cols(), 4);
  std::vector<float> two(8);
  file.read_rows(3, 2, two);
  EXPECT_EQ(two, std::vector<float>(x.begin() + 12, x.begin() + 20));
  file.read_rows(4, 2, two);
  EXPECT_EQ(two.back(), 23.0F);
  EXPECT_THROW(file.read_rows(5, 2, two), std::exception);
  EXPECT_THROW(file.read_rows(-1, 2, two), std::exception);
  EXPECT_THROW(file.read_rows(0, 1, two), std::exception);
  EXPECT_NO_THROW(file.release_rows(0, 6));
}

TEST(StrictJson, KeysMayRepeatInDifferentObjectsOnly) {
  const auto parse_json = [](const char* text) { return parse_strict_json(text, "f", "it"); };
  EXPECT_EQ(parse_json(R"({"a":{"x":1},"b":{"x":2},"x":3})")["x"], 3);
  EXPECT_EQ(parse_json(R"([{"x":1},{"x":2}])")[1]["x"], 2);
  for (const char* twice : {R"({"x":1,"x":2})", R"({"x":1,"a":{},"x":2})", R"({"a":{"x":1,"x":2}})",
                            R"([{"x":[{}],"x":1}])"}) {
    EXPECT_EQ(message_of<InputError>([&] { (void)parse_json(twice); }),
              "f: it has the key \"x\" twice.");
  }
}

TEST(StrictJson, NestsThirtyTwoDeepAndNoDeeper) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_NO_THROW((void)parse_strict_json(nested(32), "f", "it"));
  EXPECT_THROW((void)parse_strict_json(nested(34), "f", "it"), InputError);
}

}  // namespace
}  // namespace assay::simulator
