// SPDX-License-Identifier: Apache-2.0
// Files written here byte by byte from gguf.md, read back and refused.
#include "simulator/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace assay::simulator {
namespace {

class Writer {
 public:
  template <class T>
  Writer& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
    return *this;
  }
  Writer& text(const std::string& s) {
    put<std::uint64_t>(s.size());
    bytes_ += s;
    return *this;
  }
  /// Version 3, then counts.
  static Writer file(std::uint64_t tensors, std::uint64_t entries) {
    Writer w;
    w.bytes_ = "GGUF";
    return w.put<std::uint32_t>(3).put(tensors).put(entries);
  }
  Writer& f32(const std::string& name, const std::vector<std::uint64_t>& extents,
              std::uint64_t offset) {
    text(name).put<std::uint32_t>(static_cast<std::uint32_t>(extents.size()));
    for (const std::uint64_t extent : extents) put(extent);
    return put<std::uint32_t>(0).put(offset);  // GGML_TYPE_F32
  }
  /// The padding before the tensors' bytes, and so many of these.
  std::string with_bytes(std::size_t count, std::size_t alignment = 32) const {
    std::string out = bytes_;
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + std::string(count, '\1');
  }

 private:
  std::string bytes_;
};

GgufHeader parse(const std::string& file) {
  return parse_gguf(std::as_bytes(std::span(file)), "t.gguf");
}

std::string refusal(const std::string& file) {
  try {
    (void)parse(file);
  } catch (const InputError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Gguf, ShapesBeginWithTheOutermostExtent) {
  const GgufHeader header = parse(Writer::file(1, 0).f32("x", {5, 4, 3, 2}, 0).with_bytes(480));
  ASSERT_EQ(header.tensors.size(), 1U);
  EXPECT_EQ(header.tensors[0].shape, (std::vector<std::int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(header.tensors[0].end - header.tensors[0].begin, 480U);
  EXPECT_EQ(header.tensors[0].begin % 32, 0U);
}

TEST(Gguf, MoreThanFourExtentsAreRefused) {
  EXPECT_NE(refusal(Writer::file(1, 0).f32("x", {1, 1, 1, 1, 1}, 0).with_bytes(4)).find("extents"),
            std::string::npos);
}

TEST(Gguf, EveryPrefixOfAFileIsRefused) {
  const std::string whole = Writer::file(2, 1)
                                .text("k")
                                .put<std::uint32_t>(5)  // int32
                                .put<std::int32_t>(-7)
                                .f32("a", {8}, 0)
                                .f32("b", {3}, 32)
                                .with_bytes(44);
  const GgufHeader header = parse(whole);
  EXPECT_EQ(header.metadata.at("k"), "-7");
  EXPECT_EQ(header.tensors[1].begin, header.tensors[0].begin + 32);
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_NE(refusal(whole.substr(0, n)), "accepted") << n;
}

TEST(Gguf, NamesAreUniqueAndTensorsLieApartAndAligned) {
  EXPECT_NE(refusal(Writer::file(2, 0).f32("x", {8}, 0).f32("x", {8}, 32).with_bytes(64)),
            "accepted");
  EXPECT_NE(refusal(Writer::file(2, 0).f32("x", {9}, 0).f32("y", {8}, 32).with_bytes(64)),
            "accepted");
  EXPECT_NE(refusal(Writer::file(1, 0).f32("x", {8}, 8).with_bytes(64)), "accepted");
  EXPECT_EQ(refusal(Writer::file(2, 0).f32("x", {8}, 0).f32("y", {8}, 32).with_bytes(64)),
            "accepted");
}

TEST(Gguf, AlignmentIsThatOfTheFile) {
  const auto file = [](std::uint32_t alignment) {
    return Writer::file(2, 1)
        .text("general.alignment")
        .put<std::uint32_t>(4)
        .put(alignment)
        .f32("x", {2}, 0)
        .f32("y", {2}, alignment)
        .with_bytes(alignment + 8, alignment == 0 ? 8 : alignment);
  };
  EXPECT_EQ(refusal(file(8)), "accepted");
  EXPECT_EQ(refusal(file(64)), "accepted");
  EXPECT_NE(refusal(file(12)), "accepted");
  EXPECT_NE(refusal(file(0)), "accepted");
}

}  // namespace
}  // namespace assay::simulator
