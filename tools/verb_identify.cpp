// SPDX-License-Identifier: Apache-2.0
// Which block format's rule and order of operations a given quantizer's output matches.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "formats/names.h"
#include "tools/identify.h"
#include "tools/npy_source.h"
#include "tools/outputs.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;

struct Options {
  std::string scales, x, from, codes, element;
  std::int64_t block = 0;
  Outputs outputs;
};

void require_finite(const std::string& path, std::span<const float> x) {
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!std::isfinite(x[i]))
      throw std::invalid_argument(
          fmt::format("'{}': element {} is not finite; identify compares finite tensors", path, i));
}

struct Finding {
  bool found = false;
  std::string text;  ///< a line for each format
  std::string verdict;
  nlohmann::ordered_json document{{"verb", "identify"}};
};

/// The line of one comparison, and its entry in the document. `unasked`: learned scale factors
/// without codes, which nothing can tell.
void describe(const Comparison& c, bool unasked, Finding& finding) {
  nlohmann::ordered_json entry{{"format", c.format.name}, {"rule order", c.format.order->name}};
  if (c.learned()) entry["learned"] = true;
  if (!unasked) entry["matches"] = c.agrees();
  const auto line = [&](const char* word, const std::string& rest) {
    finding.text += fmt::format("{:<9} {:<26} {}\n", word, c.format.name, rest);
  };
  if (unasked) {
    line("learned", "any scale factors may be learned: the codes tell");
  } else if (c.agrees()) {
    line(c.learned() ? "learned" : "matches",
         c.learned() ? "the given scale factors lead to the given codes"
                     : std::string(c.format.order->source));
  } else if (c.block >= 0) {
    line("not", fmt::format("block {}, amax {}: expected 0x{:02X}, given 0x{:02X}", c.block, c.amax,
                            c.expected, c.given));
    entry["block"] = c.block;
    entry["amax"] = c.amax;
  } else {
    line("not", fmt::format("scale factors agree; element {}: expected 0x{:X}, given 0x{:X}",
                            c.element, c.expected, c.given));
    entry["element"] = c.element;
  }
  if (!c.agrees()) {
    entry["expected"] = c.expected;
    entry["given"] = c.given;
  }
  finding.document["formats"].push_back(std::move(entry));
}

/// Every name of a format that is this quantizer on a matrix of so many rows, the first one first.
std::string names_of(const Comparison& one, const std::vector<const Comparison*>& matches,
                     std::int64_t rows) {
  std::vector<std::string_view> same;
  for (const Comparison* c : matches)
    if (c != &one && same_quantizer(one.format, c->format, rows)) same.push_back(c->format.name);
  if (same.empty()) return std::string(one.format.name);
  return fmt::format("{} (on {} row{} the same as {})", one.format.name, rows, rows == 1 ? "" : "s",
                     fmt::join(same, ", "));
}

std::string undecided(const std::vector<const Comparison*>& orders, bool with_codes,
                      Finding& finding) {
  std::string verdict = fmt::format("undecided: {} orders agree on this tensor", orders.size());
  const std::vector<float> other = separating_row(orders, with_codes);
  if (other.empty()) return verdict + "; no input of the search separates them";
  finding.document["separating input"] = other;
  const std::size_t width = other.size() / 2;
  return verdict + fmt::format(
                       "; a row of two blocks of {} that separates them: first block i/{} of amax "
                       "{} beside that amax, second block {} and zeros",
                       width, width, other[0], other[width]);
}

/// Where no rule matches: what learned scale factors would say.
std::string unknown(const std::vector<Comparison>& all, bool with_codes, Finding& finding) {
  const std::string none = "none of the known orders computes these scale factors";
  std::vector<std::string_view> learned, agreeing;
  for (const Comparison& c : all) {
    if (!c.learned()) continue;
    learned.push_back(c.format.name);
    if (c.agrees()) agreeing.push_back(c.format.name);
  }
  if (learned.empty()) return none;
  if (!with_codes)
    return fmt::format("{}; whether they are learned ({}) shows in the codes: give --codes", none,
                       fmt::join(learned, ", "));
  if (agreeing.empty()) return none + ", and as learned ones they lead to other codes";
  finding.found = true;
  return fmt::format("identified: {}, learned scale factors; {}", fmt::join(agreeing, ", "), none);
}

Finding judge(const std::vector<Comparison>& all, std::int64_t rows, bool with_codes) {
  Finding finding;
  std::vector<const Comparison*> matches, orders;  // orders: one of each quantizer
  for (const Comparison& c : all) {
    describe(c, c.learned() && !with_codes, finding);
    if (c.learned() || !c.agrees()) continue;
    matches.push_back(&c);
    const auto known = [&](const Comparison* o) {
      return same_quantizer(o->format, c.format, rows);
    };
    if (std::none_of(orders.begin(), orders.end(), known)) orders.push_back(&c);
  }
  finding.found = !orders.empty();
  finding.verdict = orders.empty()       ? unknown(all, with_codes, finding)
                    : orders.size() == 1 ? "identified: " + names_of(*orders.front(), matches, rows)
                                         : undecided(orders, with_codes, finding);
  finding.document["verdict"] = finding.verdict;
  return finding;
}

ExitCode run(const Options& options) {
  if (options.block < 0)
    throw std::invalid_argument("--block is the number of columns of a block; give 1 or more");
  const formats::FormatSpec* element =
      options.element.empty() ? nullptr : &formats::find_format(options.element);
  const NpySource source(options.x, options.from);
  if (source.dtype() == simulator::Dtype::f64)
    throw std::invalid_argument(
        fmt::format("'{}' holds F64; quantizers read F32, F16 or bf16", options.x));
  std::vector<float> x(static_cast<std::size_t>(source.size()));
  source.read(0, x);
  require_finite(options.x, x);
  const GivenCodes scales = read_given(options.scales, "scale factors");
  GivenCodes codes;
  if (!options.codes.empty()) codes = read_given(options.codes, "element codes");
  const auto elements = static_cast<std::size_t>(source.size());
  const auto packed = static_cast<std::size_t>(source.rows() * ((source.cols() + 1) / 2));
  if (!options.codes.empty() &&
      (codes.width != 1 || (codes.bytes.size() != elements && codes.bytes.size() != packed)))
    throw std::invalid_argument(
        fmt::format("'{}' holds {} codes, but X has {} elements: give one uint8 each, or two 4-bit "
                    "codes to a byte",
                    options.codes, codes.bytes.size(), elements));
  const std::vector<BlockFormat> formats =
      candidate_formats(scales, source.rows(), source.cols(), options.block, element);
  if (formats.empty())
    throw std::invalid_argument(fmt::format(
        "'{}': no known format{} has {} scale factors of {} bits for {} x {} elements; "
        "say --block where blocks have another width",
        options.scales, element == nullptr ? "" : fmt::format(" of {} elements", element->name),
        scales.bytes.size() / std::max<std::size_t>(scales.width, 1), 8 * scales.width,
        source.rows(), source.cols()));

  std::vector<Comparison> all;
  for (const BlockFormat& format : formats)
    all.push_back(compare(format, x, source.rows(), source.cols(), scales,
                          options.codes.empty() ? nullptr : &codes));
  const Finding finding = judge(all, source.rows(), !options.codes.empty());
  if (!options.outputs.to_stdout()) fmt::print("{}{}\n", finding.text, finding.verdict);
  options.outputs.write_json(finding.document);
  return finding.found ? ExitCode::pass : ExitCode::fail;
}

}  // namespace

Action declare_identify(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("SCALES", options->scales,
                 "the scale factors, a .npy: uint8 codes, uint16 (bf16) or float32, row major")
      ->required();
  app.add_option("X", options->x,
                 "the tensor that was quantized, a .npy of f32, f16, or uint16 with --from bf16")
      ->required();
  app.add_option("--from", options->from,
                 "element type of X: f32, f16, or bf16 kept as uint16 (default: the file's)");
  app.add_option("--codes", options->codes,
                 "the element codes, a .npy of uint8: one each, or 4-bit codes two to a byte");
  app.add_option("--block", options->block, "columns of a block (default: each format's own)");
  app.add_option("--element", options->element,
                 "only formats of this element (e2m1, e4m3, int4, ...), the rule matrix's too");
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools
