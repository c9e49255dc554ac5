// SPDX-License-Identifier: Apache-2.0
#include "proptests/profiles.h"

#include <fmt/format.h>

#include <cstdint>

#include "formats/names.h"
#include "proptests/profiles/lists.h"

namespace assay::proptests {
namespace {

using formats::FormatSpec;
using kernels::Claim;

/// A product of A (null: bf16) and B whose scale factors are in the format `scale`.
bool multiplies(const Claim& c, const FormatSpec* a_element, const FormatSpec* b_scale) {
  const FormatSpec* element = c.a == nullptr ? nullptr : c.a->element;
  return c.operation == "gemm" && element == a_element && c.b != nullptr &&
         c.b->element == &formats::e2m1 && (b_scale == nullptr || c.b->scale == b_scale);
}

bool quantizes_fp4(const Claim& c) {
  return (c.operation == "quantize" || c.operation == "dequantize") && c.a != nullptr &&
         c.a->element == &formats::e2m1;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return lines;
}

const std::vector<Profile>& profiles() {
  static const std::vector<Profile> all = [] {
    std::vector<Profile> rows{
        {"quantize-1.0",
         "FP4 block quantizers and dequantizers, bit for bit",
         quantizes_fp4,
         lists::quantize_1_0,
         {}},
        {"quantize-1.1",
         "quantize-1.0 with rows that 32-bit offsets do not reach",
         quantizes_fp4,
         lists::quantize_1_1,
         {}},
        {"quantize-1.2",
         "quantize-1.1 with more rows than a dimension of a grid counts",
         quantizes_fp4,
         lists::quantize_1_2,
         {}},
        {"gemm-nvfp4-1.0",
         "products of two NVFP4 operands",
         [](const Claim& c) { return multiplies(c, &formats::e2m1, &formats::ue4m3); },
         lists::gemm_nvfp4_1_0,
         {}},
        {"gemm-nvfp4-1.1",
         "gemm-nvfp4-1.0 with rows that 32-bit offsets do not reach",
         [](const Claim& c) { return multiplies(c, &formats::e2m1, &formats::ue4m3); },
         lists::gemm_nvfp4_1_1,
         {}},
        {"gemm-mxfp4-1.0",
         "products of two MXFP4 operands",
         [](const Claim& c) { return multiplies(c, &formats::e2m1, &formats::e8m0); },
         lists::gemm_mxfp4_1_0,
         {}},
        {"gemm-mxfp4-1.1",
         "gemm-mxfp4-1.0 with rows that 32-bit offsets do not reach",
         [](const Claim& c) { return multiplies(c, &formats::e2m1, &formats::e8m0); },
         lists::gemm_mxfp4_1_1,
         {}},
        {"w4a16-1.0",
         "products of bf16 activations and FP4 weights",
         [](const Claim& c) { return multiplies(c, nullptr, nullptr); },
         lists::w4a16_1_0,
         {}},
        {"w4a16-1.1",
         "w4a16-1.0 with subnormal activations",
         [](const Claim& c) { return multiplies(c, nullptr, nullptr); },
         lists::w4a16_1_1,
         {}},
        {"w4a16-1.2",
         "w4a16-1.1 with rows that 32-bit offsets do not reach",
         [](const Claim& c) { return multiplies(c, nullptr, nullptr); },
         lists::w4a16_1_2,
         {}},
        {"w4a8-1.0",
         "products of block-scaled FP8 activations and MXFP4 weights",
         [](const Claim& c) { return multiplies(c, &formats::e4m3, &formats::e8m0); },
         lists::w4a8_1_0,
         {}},
        {"qat-1.0",
         "a training step with fake-quantized FP4 weights, forward and backward",
         [](const Claim& c) {
           return c.operation == "qat_forward" || c.operation == "qat_backward";
         },
         lists::qat_1_0,
         {}},
        {"qat-1.1",
         "qat-1.0 with every straight-through estimator, and weights at the edges of bins",
         [](const Claim& c) {
           return c.operation == "qat_forward" || c.operation == "qat_backward";
         },
         lists::qat_1_1,
         {}},
        {"layout-1.0",
         "where codes and scale factors lie",
         [](const Claim& c) {
           return c.operation == "layout" || c.operation == "quantize" ||
                  c.operation == "dequantize";
         },
         lists::layout_1_0,
         {}}};
    for (Profile& row : rows) row.ids = lines_of(row.text);
    return rows;
  }();
  return all;
}

}  // namespace

std::span<const Profile> all_profiles() { return profiles(); }

const Profile& find_profile(std::string_view name) {
  std::vector<std::string_view> known;
  for (const Profile& profile : profiles()) {
    if (profile.name == name) return profile;
    known.push_back(profile.name);
  }
  throw std::invalid_argument(formats::unknown_name("profile", name, known));
}

std::string hash_of(const Profile& profile) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : profile.text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return fmt::format("{:016x}", hash);
}

}  // namespace assay::proptests
