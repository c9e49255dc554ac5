// SPDX-License-Identifier: Apache-2.0
// Operations that leave codes, and dequantizing. Products are in product_operations.cpp.
#include "proptests/diagnosis/operations.h"

#include <cmath>
#include <cstring>

#include "golden/codec.h"
#include "golden/layout.h"
#include "golden/philox.h"
#include "golden/relayout.h"
#include "golden/requantize.h"
#include "proptests/judge.h"
#include "proptests/properties/convert_expected.h"
#include "proptests/properties/quantized_output.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockScaledTensor;
using golden::RationalValue;
using golden::Value;

std::uint32_t code_at(std::span<const std::uint8_t> out, const formats::FormatSpec& code,
                      std::int64_t cols, std::int64_t i) {
  const std::int64_t row_bytes = (cols * code.storage_bits + 7) / 8;
  const std::int64_t bit = i / cols * row_bytes * 8 + i % cols * code.storage_bits;
  std::uint32_t bits = 0;
  for (int b = 0; b < code.storage_bits; b += 8)
    bits |= static_cast<std::uint32_t>(out[(bit + b) / 8]) << b;
  return code.storage_bits == 4 ? bits >> (bit % 8) & 0xFU : bits;
}

double near(const Value& v) {
  if (v.is_nan()) return NAN;
  if (v.is_infinite()) return v.negative ? -INFINITY : INFINITY;
  return v.is_zero() ? (v.negative ? -0.0 : 0.0) : golden::approximate(v.number);
}

Prediction tensor_prediction(const QuantizerModel& m) {
  Prediction p;
  std::vector<double> scaled;
  predict_tensor(p, "the codes", m.run(&scaled));
  p.front().source = std::move(scaled);
  p.front().code_format = m.format.element;
  return p;
}

Prediction predict_convert(const ConvertModel& m) {
  PredictedArray a = {};
  a.name = "the codes";
  a.rows = m.rows;
  a.cols = m.cols;
  a.code_format = m.claim.code;
  for (const std::uint32_t bits : m.source) {
    a.codes.push_back(m.code ? m.code(m.claim, bits) : converted(m.claim, bits));
    a.source.push_back(near(golden::decode(*m.claim.output, bits)));
  }
  PredictedArray unused = {};
  unused.name = "the unused nibbles";
  if (m.claim.code->storage_bits == 4) {
    const std::int64_t pitch = (m.cols + 1) / 2 * 2;
    std::vector<std::uint64_t> nibbles(static_cast<std::size_t>(m.rows * pitch));
    for (std::int64_t r = 0; r < m.rows; ++r)
      for (std::int64_t c = 0; c < m.cols; ++c) {
        const std::int64_t at = m.nibble_at ? m.nibble_at(r, c, m.cols) : r * pitch + c;
        if (at >= 0 && at < std::ssize(nibbles))
          nibbles[static_cast<std::size_t>(at)] = a.codes[static_cast<std::size_t>(r * m.cols + c)];
      }
    for (std::int64_t r = 0; r < m.rows; ++r) {
      for (std::int64_t c = 0; c < m.cols; ++c)
        a.codes[static_cast<std::size_t>(r * m.cols + c)] =
            nibbles[static_cast<std::size_t>(r * pitch + c)];
      if (m.cols % 2 == 1)
        unused.codes.push_back(nibbles[static_cast<std::size_t>((r + 1) * pitch - 1)]);
    }
  }
  unused.rows = std::ssize(unused.codes);
  unused.cols = 1;
  Prediction p;
  p.push_back(std::move(a));
  p.push_back(std::move(unused));
  return p;
}

Prediction predict_stochastic(const StochasticModel& m) {
  QuantizerModel q = m.quantizer;
  const formats::FormatSpec& element = *q.format.element;
  const golden::Policy policy = golden::policy_of(*m.profile, element);
  q.chosen = [&m, &element, policy](const RationalValue& x, std::int64_t at) {
    const golden::Random random{
        m.bits, m.drawn ? m.drawn(m, at) : m.word(at) >> static_cast<unsigned>(32 - m.bits)};
    return m.rounding
               ? m.rounding(x, random)
               : golden::encode(element, x, formats::RoundingMode::stochastic, policy, random);
  };
  return tensor_prediction(q);
}

BlockScaledTensor observed_transpose(const Case& c) {
  return observed_tensor(
      empty_tensor(*c.call.claim.a, c.call.k, c.call.m, c.call.claim.scale_layout),
      c.answer->outputs);
}

BlockScaledTensor observed_quantized(const Case& c) {
  return observed_tensor(
      empty_tensor(*c.call.claim.a, c.call.m, c.call.k, c.call.claim.scale_layout),
      c.answer->outputs);
}

Prediction predict_moved(const MovedModel& m) {
  const BlockScaledTensor t =
      golden::relayout(m.from, m.codes ? formats::Layout::column_major : m.from.layout,
                       m.codes ? m.from.scale_layout : m.to);
  std::vector<std::uint8_t> bytes = m.codes ? t.codes : t.scales;
  if (m.stored) m.stored(bytes, t);
  PredictedArray a = {};
  a.name = m.codes ? "the codes" : "the scale factors";
  const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
  a.cols = m.codes                                        ? (t.rows + 1) / 2 * 2
           : m.to == formats::ScaleLayout::swizzled_128x4 ? 16
                                                          : grid.across;
  for (const std::uint8_t byte : bytes) {
    if (!m.codes) {
      a.codes.push_back(byte);
      continue;
    }
    a.codes.push_back(byte & 0xFU);
    a.codes.push_back(byte >> 4U);
  }
  a.rows = static_cast<std::int64_t>(a.codes.size()) / std::max<std::int64_t>(a.cols, 1);
  Prediction p;
  p.push_back(std::move(a));
  return p;
}

std::vector<std::uint32_t> scale_codes_of(const BlockScaledTensor& t) {
  std::vector<std::uint32_t> codes;
  if (t.rows == 0 || t.cols == 0) return codes;
  const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t c = 0; c < t.cols; ++c)
      codes.push_back(golden::load_scale(t, r / g.block_rows, c / g.block_cols));
  return codes;
}

Prediction predict_dequantized(const ReaderModel& m) {
  const golden::FactoredMatrix f = m.run();
  const Value g = golden::value_of(f.tensor_scale);
  std::vector<RationalValue> reference;
  std::vector<bool> negative;
  for (std::size_t i = 0; i < f.elements.size(); ++i) {
    const Value x = f.elements[i] * (f.scales[i] * g);
    reference.push_back(golden::to_rational(x));
    negative.push_back(x.is_zero() && x.negative);
  }
  Prediction p;
  std::vector<golden::Bound> exact(reference.size());
  predict_numbers(p, "the numbers", formats::fp32, m.t.cols, std::move(reference),
                  std::move(exact));
  p.front().negative_zero = std::move(negative);
  p.front().bit_exact = true;
  p.front().block = m.t.format->block.cols;
  for (const Value& element : f.elements) p.front().source.push_back(near(element));
  p.front().scale_codes = scale_codes_of(m.t);
  return p;
}

}  // namespace

std::uint32_t StochasticModel::word(std::int64_t at) const {
  if (!words.empty()) return words[static_cast<std::size_t>(at)];
  const auto counter = static_cast<std::uint64_t>(at) / 4;
  return golden::philox4x32_10(
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32U), 0, 0},
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)})[at % 4];
}

const Operation<QuantizerModel> quantizing{
    [](const kernels::Claim& c) { return c.operation == "quantize" && c.a != nullptr; },
    [](const Case& c) { return quantizer_of(c.call); }, tensor_prediction};

const Operation<ReaderModel> dequantizing{
    [](const kernels::Claim& c) {
      return c.operation == "dequantize" && c.a != nullptr && c.a->element == &formats::e2m1;
    },
    [](const Case& c) {
      ReaderModel m;
      m.t = input_tensor(c.call, ASSAY_DUT_Q, *c.call.claim.a, c.call.m, c.call.k);
      return m;
    },
    predict_dequantized};

const Operation<ConvertModel> converting{
    [](const kernels::Claim& c) { return c.operation == "convert"; },
    [](const Case& c) {
      ConvertModel m;
      m.claim = c.call.claim;
      m.rows = c.call.m;
      m.cols = c.call.k;
      const auto bytes = input_bytes(c.call, ASSAY_DUT_X);
      const auto width = static_cast<std::size_t>(m.claim.output->storage_bits / 8);
      m.source.resize(bytes.size() / width);
      for (std::size_t i = 0; i < m.source.size(); ++i)
        std::memcpy(&m.source[i], bytes.data() + i * width, width);
      return m;
    },
    predict_convert};

const Operation<StochasticModel> drawing{
    [](const kernels::Claim& c) {
      return c.operation == "stochastic_quantize" && c.random != ASSAY_DUT_RANDOM_OPAQUE;
    },
    [](const Case& c) {
      StochasticModel m(quantizer_of(c.call));
      m.profile = c.call.claim.profile;
      m.bits = c.call.claim.random_bits;
      m.seed = c.call.seed;
      const auto bytes = input_bytes(c.call, ASSAY_DUT_RANDOM);
      m.words.resize(bytes.size() / sizeof(std::uint32_t));
      if (!m.words.empty()) std::memcpy(m.words.data(), bytes.data(), bytes.size());
      return m;
    },
    predict_stochastic};

const Operation<TransposeModel> transposing{
    [](const kernels::Claim& c) { return c.operation == "transpose_requantize"; },
    [](const Case& c) {
      TransposeModel m(quantizer_of(c.call));
      std::vector<float> x = input_floats(c.call, ASSAY_DUT_X);
      if (x.empty())
        x = golden::dequantize_to_fp32(
            input_tensor(c.call, ASSAY_DUT_Q, *c.call.claim.a, c.call.m, c.call.k));
      m.quantizer.x = golden::transpose(x, c.call.m, c.call.k);
      std::swap(m.quantizer.rows, m.quantizer.cols);
      return m;
    },
    [](const TransposeModel& m) { return tensor_prediction(m.quantizer); }};

const Operation<MovedModel> moving{
    [](const kernels::Claim& c) { return c.operation == "layout"; },
    [](const Case& c) {
      const formats::BlockFormat& format = *c.call.claim.a;
      const Operand& from = c.call.in.at(0);
      MovedModel m;
      m.codes = from.shape.part == ASSAY_DUT_VALUES;
      m.from = empty_tensor(format, c.call.m, c.call.k,
                            m.codes ? formats::ScaleLayout::row_major
                                    : static_cast<formats::ScaleLayout>(from.shape.layout));
      m.from.codes.resize(
          golden::code_bytes(*format.element, m.from.rows, m.from.cols, m.from.layout));
      m.from.scales.resize(
          golden::scale_bytes(format, m.from.rows, m.from.cols, m.from.scale_layout));
      (m.codes ? m.from.codes : m.from.scales).assign(from.bytes.begin(), from.bytes.end());
      m.to = static_cast<formats::ScaleLayout>(c.call.out.at(0).shape.layout);
      return m;
    },
    predict_moved};

std::optional<Prediction> right_prediction(const Case& c) {
  const kernels::Claim& claim = c.call.claim;
  const auto of = [&](const auto& operation) { return operation.predict(operation.of(c)); };
  if (quantizing.is(claim)) return of(quantizing);
  if (dequantizing.is(claim)) return of(dequantizing);
  if (converting.is(claim)) return of(converting);
  if (drawing.is(claim)) return of(drawing);
  if (transposing.is(claim)) return of(transposing);
  if (moving.is(claim)) return of(moving);
  if (multiplying.is(claim)) return of(multiplying);
  if (fusing.is(claim)) return of(fusing);
  if (gating.is(claim)) return of(gating);
  if (grouping.is(claim)) return of(grouping);
  if (training.is(claim)) return of(training);
  return Prediction{};  // patterns alone
}

Seen seen(const Case& c) {
  const kernels::Claim& claim = c.call.claim;
  Seen s;
  if (quantizing.is(claim) || drawing.is(claim)) {
    see_tensor(s, observed_quantized(c));
  } else if (transposing.is(claim)) {
    see_tensor(s, observed_transpose(c));
  } else if (converting.is(claim)) {
    const auto out = output_bytes(c, ASSAY_DUT_Q);
    SeenArray a;
    for (std::int64_t i = 0; i < c.call.m * c.call.k; ++i)
      a.codes.push_back(code_at(out, *claim.code, c.call.k, i));
    SeenArray unused;
    if (claim.code->storage_bits == 4 && c.call.k % 2 == 1)
      for (std::int64_t r = 0; r < c.call.m; ++r)
        unused.codes.push_back(out[static_cast<std::size_t>((r + 1) * ((c.call.k + 1) / 2) - 1)] >>
                               4U);
    s.push_back(std::move(a));
    s.push_back(std::move(unused));
  } else if (moving.is(claim)) {
    SeenArray a;
    const bool codes = c.call.in.at(0).shape.part == ASSAY_DUT_VALUES;
    for (const std::uint8_t byte : c.answer->outputs.at(0)) {
      a.codes.push_back(codes ? byte & 0xFU : byte);
      if (codes) a.codes.push_back(byte >> 4U);
    }
    s.push_back(std::move(a));
  } else if (training.is(claim)) {
    if (claim.operation == "qat_forward") {
      see_numbers(s, to_floats(output_bytes(c, ASSAY_DUT_Y)));
      return s;
    }
    for (const std::uint32_t role : {ASSAY_DUT_DX, ASSAY_DUT_DW, ASSAY_DUT_DBIAS})
      see_numbers(s, to_floats(output_bytes(c, role)));
    if (kernels::has_scale_gradient(static_cast<kernels::Estimator>(c.call.estimator)))
      see_numbers(s, to_floats(output_bytes(c, ASSAY_DUT_DSCALE)));
  } else if (dequantizing.is(claim)) {
    see_numbers(s, to_floats(output_bytes(c, ASSAY_DUT_X)));
  } else if (multiplying.is(claim) || fusing.is(claim) || gating.is(claim) || grouping.is(claim)) {
    see_numbers(s, to_floats(*claim.output, output_bytes(c, ASSAY_DUT_D)));
    if (!output_bytes(c, ASSAY_DUT_Q).empty() && fusing.is(claim)) {
      BlockScaledTensor q = empty_tensor(*claim.a, c.call.m, c.call.k, claim.scale_layout);
      const auto part = [&](std::uint32_t which) {
        const auto bytes = output_bytes(c, ASSAY_DUT_Q, which);
        return std::vector<std::uint8_t>(bytes.begin(), bytes.end());
      };
      q.codes = part(ASSAY_DUT_VALUES);
      q.scales = part(ASSAY_DUT_SCALES);
      if (const auto g = part(ASSAY_DUT_TENSOR_SCALE); !g.empty()) q.tensor_scale = to_floats(g)[0];
      see_tensor(s, q);
    }
  }
  return s;
}

}  // namespace assay::proptests::diagnosis
