// SPDX-License-Identifier: Apache-2.0
#include "tools/identify.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "formats/block.h"
#include "formats/layout.h"
#include "formats/rule_matrix.h"
#include "simulator/npy.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;

std::vector<float> as_floats(const GivenCodes& scales) {
  std::vector<float> factors(scales.bytes.size() / sizeof(float));
  std::memcpy(factors.data(), scales.bytes.data(), factors.size() * sizeof(float));
  return factors;
}

bool all_finite(const GivenCodes& scales) {
  const std::vector<float> factors = as_floats(scales);
  return std::all_of(factors.begin(), factors.end(), [](float s) { return std::isfinite(s); });
}

}  // namespace

std::uint32_t GivenCodes::at(std::int64_t i) const {
  std::uint32_t code = 0;
  std::memcpy(&code, bytes.data() + static_cast<std::size_t>(i) * width, width);
  return code;
}

GivenCodes read_given(const std::string& path, const char* what) {
  const simulator::NpyFile file(path);
  using simulator::Dtype;
  GivenCodes given;
  given.shape = file.shape();
  given.bytes.resize(file.bytes().size());
  std::memcpy(given.bytes.data(), file.bytes().data(), file.bytes().size());
  const auto count = static_cast<std::size_t>(file.rows() * file.cols());
  given.width = count == 0 ? 0 : given.bytes.size() / count;
  const Dtype t = file.dtype();
  if (count == 0 || (t != Dtype::u8 && t != Dtype::u16 && t != Dtype::f32))
    throw std::invalid_argument(
        fmt::format("'{}' does not hold {}: give uint8 codes (E4M3, E8M0), uint16 codes (bf16) or "
                    "float32 numbers, and at least one",
                    path, what));
  return given;
}

std::vector<BlockFormat> candidate_formats(const GivenCodes& scales, std::int64_t rows,
                                           std::int64_t cols, std::int64_t block,
                                           const formats::FormatSpec* element) {
  using Presets = std::span<const BlockFormat* const>;
  const Presets presets = element == nullptr ? Presets(formats::all_block_formats)
                                             : Presets(formats::every_block_format);
  std::vector<BlockFormat> found;
  for (const BlockFormat* preset : presets) {
    BlockFormat format = *preset;
    if (element != nullptr && format.element != element) continue;
    if (format.rule == formats::ScaleRule::given && !all_finite(scales)) continue;
    if (static_cast<std::size_t>(format.scale->storage_bits) != 8 * scales.width) continue;
    if (block != 0) format.block.cols = block;
    const formats::BlockGrid grid = formats::block_grid(format.block, rows, cols);
    const bool fits =
        static_cast<std::size_t>(grid.count()) * scales.width == scales.bytes.size() &&
        (scales.shape.empty() || scales.shape.back() == grid.cols || scales.shape.size() == 1);
    if (fits) found.push_back(format);
  }
  return found;
}

Comparison compare(const BlockFormat& format, std::span<const float> x, std::int64_t rows,
                   std::int64_t cols, const GivenCodes& scales, const GivenCodes* codes) {
  Comparison c{format};
  const std::vector<float> factors = c.learned() ? as_floats(scales) : std::vector<float>{};
  const BlockScaledTensor t = formats::quantize(x, rows, cols, format, {.scales = factors});
  const formats::BlockGrid grid = formats::block_grid(format.block, rows, cols);
  const GivenCodes expected{t.scales, scales.width, {}};
  for (std::int64_t b = 0; b < grid.count(); ++b) {
    if (expected.at(b) == scales.at(b)) continue;
    c.block = b;
    c.expected = expected.at(b);
    c.given = scales.at(b);
    for (std::int64_t i = 0; i < rows * cols; ++i)
      if (grid.block_of(i / cols, i % cols) == b)
        c.amax = std::max(c.amax, std::fabs(x[static_cast<std::size_t>(i)]));
    return c;
  }
  if (codes == nullptr) return c;
  const int bits = format.element->storage_bits;
  const bool packed = bits == 4 && codes->bytes.size() == t.codes.size() && rows * cols != 1;
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    const std::uint32_t mine = formats::element_code(t, i / cols, i % cols);
    const std::uint32_t theirs =
        packed ? static_cast<std::uint32_t>(codes->bytes[static_cast<std::size_t>(
                                                i / cols * ((cols + 1) / 2) + i % cols / 2)] >>
                                            (i % cols % 2 * 4)) &
                     15U
               : codes->at(i);
    if (mine == theirs) continue;
    c.element = i;
    c.expected = mine;
    c.given = theirs;
    break;
  }
  return c;
}

bool same_quantizer(const BlockFormat& a, const BlockFormat& b, std::int64_t rows) {
  const auto height = [rows](const BlockFormat& format) {
    return std::min(format.block.rows == 0 ? rows : format.block.rows, rows);
  };
  return a.order == b.order && a.candidates == b.candidates && a.element == b.element &&
         a.scale == b.scale && a.block.cols == b.block.cols && height(a) == height(b);
}

std::vector<float> separating_row(const std::vector<const Comparison*>& agreeing, bool with_codes) {
  const std::int64_t width = std::max<std::int64_t>(agreeing[0]->format.block.cols, 2);
  for (std::uint32_t g = 0; g < 128; ++g) {
    for (std::uint32_t a = 0; a < 128; ++a) {
      const float global = std::bit_cast<float>(0x40000000U | g << 16U);
      const float amax = std::bit_cast<float>(0x3F800000U | a << 16U);
      std::vector<float> x(static_cast<std::size_t>(2 * width), 0.0F);
      x[0] = amax;
      for (std::size_t i = 1; i < static_cast<std::size_t>(width); ++i)
        x[i] = amax * static_cast<float>(i) / static_cast<float>(width);
      x[static_cast<std::size_t>(width)] = global;
      BlockScaledTensor first;
      for (const Comparison* c : agreeing) {
        const BlockScaledTensor t = formats::quantize(x, 1, 2 * width, c->format);
        if (c == agreeing[0]) {
          first = t;
        } else if (t.scales != first.scales || (with_codes && t.codes != first.codes)) {
          return x;
        }
      }
    }
  }
  return {};
}

}  // namespace assay::tools
