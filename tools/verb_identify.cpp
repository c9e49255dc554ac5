// SPDX-License-Identifier: Apache-2.0
// Which block format's rule and order of operations a given quantizer's output matches.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "formats/block.h"
#include "formats/layout.h"
#include "formats/presets.h"
#include "tools/npy_source.h"
#include "tools/outputs.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using Bytes = std::vector<std::uint8_t>;

struct Options {
  std::string scales, x, codes;
  std::int64_t block = 0;
  Outputs outputs;
};

/// What one format makes of X beside what was given.
struct Comparison {
  BlockFormat format;
  std::int64_t block = -1;    ///< first whose scale factor differs
  std::int64_t element = -1;  ///< first whose code differs, where the scale factors agree
  std::uint32_t expected = 0, given = 0;
  float amax = 0;
  [[nodiscard]] bool matches() const { return block < 0 && element < 0; }
};

/// One code of a scale format or element format an entry, little endian.
struct Given {
  Bytes bytes;
  std::size_t width = 1;
  std::vector<std::int64_t> shape;
  [[nodiscard]] std::uint32_t at(std::int64_t i) const {
    std::uint32_t code = 0;
    std::memcpy(&code, bytes.data() + static_cast<std::size_t>(i) * width, width);
    return code;
  }
};

Given read_codes(const std::string& path, const char* what) {
  const simulator::NpyFile file(path);
  using simulator::Dtype;
  Given given;
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

/// The formats whose scale factors have the type and number of the given ones.
std::vector<BlockFormat> candidates(const Given& scales, std::int64_t rows, std::int64_t cols,
                                    std::int64_t block) {
  std::vector<BlockFormat> found;
  for (const BlockFormat* preset : formats::all_block_formats) {
    BlockFormat format = *preset;
    if (format.rule == formats::ScaleRule::given) continue;
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
                   std::int64_t cols, const Given& scales, const Given* codes) {
  Comparison c{format};
  const BlockScaledTensor t = formats::quantize(x, rows, cols, format);
  const formats::BlockGrid grid = formats::block_grid(format.block, rows, cols);
  Given expected{t.scales, scales.width, {}};
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

/// A tensor of one row on which not all of the formats agree, found by walking the bf16 mantissas
/// of the tensor's amax and, in one block each, of the blocks' amax; empty where there is none.
std::vector<float> separating(const std::vector<const Comparison*>& agreeing, bool with_codes) {
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

void require_finite(const std::string& path, std::span<const float> x) {
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!std::isfinite(x[i]))
      throw std::invalid_argument(
          fmt::format("'{}': element {} is not finite; identify compares finite tensors", path, i));
}

ExitCode run(const Options& options) {
  if (options.block < 0)
    throw std::invalid_argument("--block is the number of columns of a block; give 1 or more");
  const NpySource source(options.x, "");
  if (source.dtype() == simulator::Dtype::f64)
    throw std::invalid_argument(
        fmt::format("'{}' holds F64; quantizers read F32 or F16", options.x));
  std::vector<float> x(static_cast<std::size_t>(source.size()));
  source.read(0, x);
  require_finite(options.x, x);
  const Given scales = read_codes(options.scales, "scale factors");
  Given codes;
  if (!options.codes.empty()) codes = read_codes(options.codes, "element codes");
  const auto elements = static_cast<std::size_t>(source.size());
  const auto packed = static_cast<std::size_t>(source.rows() * ((source.cols() + 1) / 2));
  if (!options.codes.empty() &&
      (codes.width != 1 || (codes.bytes.size() != elements && codes.bytes.size() != packed)))
    throw std::invalid_argument(
        fmt::format("'{}' holds {} codes, but X has {} elements: give one uint8 each, or two 4-bit "
                    "codes to a byte",
                    options.codes, codes.bytes.size(), elements));
  const std::vector<BlockFormat> formats =
      candidates(scales, source.rows(), source.cols(), options.block);
  if (formats.empty())
    throw std::invalid_argument(
        fmt::format("'{}': no known format has {} scale factors of {} bits for {} x {} elements; "
                    "say --block where blocks have another width",
                    options.scales, scales.bytes.size() / std::max<std::size_t>(scales.width, 1),
                    8 * scales.width, source.rows(), source.cols()));

  std::vector<Comparison> all;
  for (const BlockFormat& format : formats)
    all.push_back(compare(format, x, source.rows(), source.cols(), scales,
                          options.codes.empty() ? nullptr : &codes));
  std::vector<const Comparison*> matches;
  nlohmann::ordered_json document{{"verb", "identify"}};
  std::string text;
  for (const Comparison& c : all) {
    nlohmann::ordered_json entry{
        {"format", c.format.name}, {"rule order", c.format.order->name}, {"matches", c.matches()}};
    if (c.matches()) {
      matches.push_back(&c);
      text += fmt::format("matches   {:<26} {}\n", c.format.name, c.format.order->source);
    } else if (c.block >= 0) {
      text += fmt::format("not       {:<26} block {}, amax {}: expected 0x{:02X}, given 0x{:02X}\n",
                          c.format.name, c.block, c.amax, c.expected, c.given);
      entry["block"] = c.block;
      entry["amax"] = c.amax;
    } else {
      text += fmt::format(
          "not       {:<26} scale factors agree; element {}: expected 0x{:X}, "
          "given 0x{:X}\n",
          c.format.name, c.element, c.expected, c.given);
      entry["element"] = c.element;
    }
    if (!c.matches()) {
      entry["expected"] = c.expected;
      entry["given"] = c.given;
    }
    document["formats"].push_back(entry);
  }
  std::string verdict = "none of the known orders computes these scale factors";
  if (matches.size() == 1) verdict = fmt::format("identified: {}", matches[0]->format.name);
  if (matches.size() > 1) {
    verdict = fmt::format("undecided: {} orders agree on this tensor", matches.size());
    const std::vector<float> other = separating(matches, !options.codes.empty());
    if (other.empty()) {
      verdict += "; no input of the search separates them";
    } else {
      const auto width = static_cast<std::size_t>(other.size() / 2);
      verdict += fmt::format(
          "; a row of two blocks of {} that separates them: first block i/{} of "
          "amax {} beside that amax, second block {} and zeros",
          width, width, other[0], other[width]);
      document["separating input"] = other;
    }
  }
  document["verdict"] = verdict;
  if (!options.outputs.to_stdout()) fmt::print("{}{}\n", text, verdict);
  options.outputs.write_json(document);
  return matches.empty() ? ExitCode::fail : ExitCode::pass;
}

}  // namespace

Action declare_identify(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("SCALES", options->scales,
                 "the scale factors, a .npy: uint8 codes, uint16 (bf16) or float32, row major")
      ->required();
  app.add_option("X", options->x, "the tensor that was quantized, a .npy of f32 or f16")
      ->required();
  app.add_option("--codes", options->codes,
                 "the element codes, a .npy of uint8: one each, or 4-bit codes two to a byte");
  app.add_option("--block", options->block, "columns of a block (default: each format's own)");
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools
