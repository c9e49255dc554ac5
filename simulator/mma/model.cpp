// SPDX-License-Identifier: Apache-2.0
#include "simulator/mma/model.h"

#include <fmt/format.h>

#include <stdexcept>

#include "formats/names.h"
#include "simulator/mma/table.h"

namespace assay::simulator {
namespace {

MmaModel expand(const mma_table::Row& row, const mma_table::Input& a, const mma_table::Input& b) {
  const std::string inputs = std::string(a.name) + (&a == &b ? "" : "_" + std::string(b.name));
  MmaModel m;
  m.name = fmt::format("{}.{}.{}", row.unit, inputs, row.d == &formats::fp32 ? "f32" : "f16");
  m.arithmetic = row.arithmetic;
  m.a = a.spec;
  m.b = b.spec;
  m.d = row.d;
  m.step = row.step;
  m.shortest_k = row.shortest_k;
  m.fraction_bits = row.fraction_bits;
  m.conversion = row.conversion;
  m.zero_exponent = row.zero_exponent;
  m.signed_underflow = row.signed_underflow;
  m.scale = row.scale;
  m.scale_block = row.scale_block;
  m.evidence = row.evidence;
  m.evidence_text = row.evidence_text;
  if (row.evidence == Evidence::captured && &a != &b) {  // nobody captured mixed inputs
    m.evidence = Evidence::published;
    m.evidence_text = "not run with mixed inputs";
  }
  m.source = row.source;
  return m;
}

/// Instructions of FP8, FP6 and FP4 mix their formats; f16 with bf16 does not exist.
bool mixes(const mma_table::Row& row) { return row.inputs.front().spec->storage_bits <= 8; }

std::vector<MmaModel> expand_all() {
  std::vector<MmaModel> models;
  for (const mma_table::Row& row : mma_table::rows) {
    for (const mma_table::Input& a : row.inputs)
      for (const mma_table::Input& b : row.inputs)
        if (&a == &b || mixes(row)) models.push_back(expand(row, a, b));
  }
  for (const MmaModel& m : models) require_valid(m);
  return models;
}

}  // namespace

std::span<const MmaModel> all_mma_models() {
  static const std::vector<MmaModel> models = expand_all();
  return models;
}

const MmaModel& find_mma_model(std::string_view name) {
  std::vector<std::string_view> known;
  for (const MmaModel& m : all_mma_models()) {
    if (m.name == name) return m;
    known.push_back(m.name);
  }
  throw std::invalid_argument(
      fmt::format("unknown model '{}'; did you mean '{}'? 'assay mma --list' prints them all", name,
                  formats::nearest_name(name, known)));
}

void require_valid(const MmaModel& m) {
  const auto require = [&m](bool good, std::string_view rule) {
    if (!good) throw std::invalid_argument(fmt::format("model {}: {}", m.name, rule));
  };
  require(m.a != nullptr && m.b != nullptr && m.d != nullptr, "a, b and d need a format");
  const bool half = m.d == &formats::fp16;
  require(half || m.d == &formats::fp32, "d must be fp32 or fp16");
  require(half == (m.conversion == Conversion::rne_fp16), "the conversion must end in d's format");
  require(m.step >= 1 && m.step <= 1024, "step must lie in 1 to 1024");
  require(m.shortest_k >= 1 && m.shortest_k <= m.step, "shortest_k must lie in 1 to step");
  // 2 x 24 bits of significands and 64 of alignment stay inside 128 bits with a sign and 1025
  // terms.
  require(m.fraction_bits >= 0 && m.fraction_bits <= 60, "fraction_bits must lie in 0 to 60");
  require(m.zero_exponent >= -1000 && m.zero_exponent <= 0, "zero_exponent must lie in -1000 to 0");
  require((m.scale == nullptr) == (m.scale_block == 0), "scale and scale_block belong together");
  require(m.scale == nullptr || m.step % m.scale_block == 0, "scale_block must divide step");
  require(m.arithmetic != Arithmetic::grouped ||
              (m.scale != nullptr && m.step % 16 == 0 && m.scale_block % 16 == 0 &&
               m.a->exponent_bits + m.b->exponent_bits <= 4 && m.a->subnormals && m.b->subnormals),
          "grouped sums need scales per 16 elements or a multiple, and elements of at most two "
          "exponent bits");
  require(m.arithmetic != Arithmetic::lowered || (m.step % 4 == 0 && m.a->storage_bits == 8 &&
                                                  m.b->storage_bits == 8 && m.scale == nullptr),
          "lowered takes 8-bit elements without scales, four at a time");
  require(m.arithmetic != Arithmetic::rounded || (m.conversion == Conversion::rne_fp32),
          "rounded sums end in rne_fp32");
  require(m.arithmetic != Arithmetic::flushed ||
              (m.conversion == Conversion::rne_fp32 && (m.step == 2 || m.step == 4) &&
               m.a->storage_bits == 16 && m.b->storage_bits == 16 && m.scale == nullptr),
          "flushed sums take 2 or 4 products of 16-bit elements and end in rne_fp32");
}

}  // namespace assay::simulator
