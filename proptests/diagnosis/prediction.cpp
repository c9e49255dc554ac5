// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/prediction.h"

#include <bit>
#include <cmath>

#include "golden/codec.h"
#include "golden/layout.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

/// Bytes of scale factors and nibbles that belong to no block and no element.
std::vector<std::uint64_t> padding_of(const formats::BlockScaledTensor& t) {
  std::vector<std::uint64_t> padding;
  formats::BlockScaledTensor marks = t;
  std::fill(marks.scales.begin(), marks.scales.end(), 0);
  const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t b = 0; b < grid.across; ++b) golden::store_scale(marks, r, b, 1);
  if (t.format->scale->storage_bits == 8)
    for (std::size_t i = 0; i < t.scales.size(); ++i)
      if (marks.scales[i] == 0) padding.push_back(t.scales[i]);
  if (t.format->element->storage_bits == 4 && t.cols % 2 == 1 &&
      t.layout == formats::Layout::row_major)
    for (std::int64_t r = 0; r < t.rows; ++r)
      padding.push_back(t.codes[static_cast<std::size_t>((r + 1) * ((t.cols + 1) / 2) - 1)] >> 4U);
  return padding;
}

std::vector<std::uint64_t> codes_of(const formats::BlockScaledTensor& t) {
  const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
  std::vector<std::uint64_t> codes;
  codes.reserve(static_cast<std::size_t>(t.rows * t.cols));
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t c = 0; c < t.cols; ++c)
      codes.push_back(golden::load_code(t, r, c) |
                      std::uint64_t{golden::load_scale(t, r / grid.block_rows, c / grid.block_cols)}
                          << 8U);
  return codes;
}

bool same_sign_of_zero(const PredictedArray& p, float seen, std::size_t slot) {
  if (p.negative_zero.empty() || !p.numbers[slot].is_zero()) return true;
  return std::signbit(seen) == p.negative_zero[slot];
}

}  // namespace

double PredictedArray::step_of(std::size_t slot) const {
  if (code_format == nullptr || source.empty() || !std::isfinite(source[slot])) return 0;
  const double x = std::fabs(source[slot]);
  const double top = golden::approximate(golden::max_finite(*code_format));
  if (x > top) return -1;
  const golden::Policy policy = golden::policy_of(formats::saturating, *code_format);
  const auto code = [&](formats::RoundingMode mode) {
    return golden::approximate(
        golden::decode(*code_format,
                       golden::encode(*code_format, golden::value_of(x), mode, policy))
            .number);
  };
  const double low = code(formats::RoundingMode::toward_zero);
  const double high = code(formats::RoundingMode::toward_positive);
  return high > low ? (x - low) / (high - low) : 0;
}

std::size_t slots(const PredictedArray& a) {
  return a.format == nullptr ? a.codes.size() : a.numbers.size();
}

bool agrees(const SeenArray& seen, const PredictedArray& p, std::size_t slot, bool strict) {
  if (p.format == nullptr) return seen.codes[slot] == p.codes[slot];
  const std::span<const float> observed(&seen.numbers[slot], 1);
  if (!same_sign_of_zero(p, observed[0], slot)) return false;
  const std::span<const golden::RationalValue> number(&p.numbers[slot], 1);
  const std::span<const golden::Bound> bound(&p.bounds[slot], 1);
  if (p.rounded != nullptr) return matches(*p.rounded, *p.format, observed, number, bound);
  if (!strict && !p.bit_exact) return matches(*p.format, observed, number, bound);
  return judge_number(*p.format, observed[0], number[0], bound[0]) != golden::Judgement::outside;
}

Verdict verdict(const SeenArray& seen, const PredictedArray& right, const PredictedArray& wrong,
                std::size_t slot) {
  const bool alike = right.format == nullptr ? right.codes[slot] == wrong.codes[slot]
                                             : right.numbers[slot] == wrong.numbers[slot] &&
                                                   wrong.rounded == right.rounded &&
                                                   wrong.negative_zero == right.negative_zero;
  // A bound of the model may be a little narrower than the one that the case was judged by.
  if (alike) return agrees(seen, right, slot, false) ? Verdict::both : Verdict::neither;
  const bool is_right = agrees(seen, right, slot, true);
  const bool is_wrong = agrees(seen, wrong, slot, false);
  if (is_right) return is_wrong ? Verdict::both : Verdict::right;
  return is_wrong ? Verdict::wrong : Verdict::neither;
}

void predict_tensor(Prediction& to, const std::string& name, const formats::BlockScaledTensor& t) {
  PredictedArray codes = {};
  codes.name = name;
  codes.rows = t.rows;
  codes.cols = t.cols;
  codes.block = t.format->block.cols;
  codes.codes = codes_of(t);
  PredictedArray padding = {};
  padding.name = "the padding of " + name;
  padding.codes = padding_of(t);
  padding.rows = 1;
  padding.cols = static_cast<std::int64_t>(padding.codes.size());
  PredictedArray scale = {};
  scale.name = "the tensor scale of " + name;
  scale.rows = scale.cols = 1;
  scale.codes = {std::bit_cast<std::uint32_t>(t.tensor_scale)};
  to.push_back(std::move(codes));
  to.push_back(std::move(padding));
  to.push_back(std::move(scale));
}
void see_tensor(Seen& to, const formats::BlockScaledTensor& t) {
  to.push_back({codes_of(t), {}});
  to.push_back({padding_of(t), {}});
  to.push_back({{std::bit_cast<std::uint32_t>(t.tensor_scale)}, {}});
}

void predict_numbers(Prediction& to, const std::string& name, const formats::FormatSpec& format,
                     std::int64_t cols, std::vector<golden::RationalValue> numbers,
                     std::vector<golden::Bound> bounds) {
  PredictedArray a = {};
  a.name = name;
  a.cols = std::max<std::int64_t>(cols, 1);
  a.rows = static_cast<std::int64_t>(numbers.size()) / a.cols;
  a.format = &format;
  a.numbers = std::move(numbers);
  a.bounds = std::move(bounds);
  to.push_back(std::move(a));
}
void see_numbers(Seen& to, std::vector<float> numbers) { to.push_back({{}, std::move(numbers)}); }

}  // namespace assay::proptests::diagnosis
