// SPDX-License-Identifier: Apache-2.0
#include "simulator/gemm.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "formats/codec.h"
#include "simulator/mma/dot.h"
#include "simulator/mma/fast.h"
#include "simulator/mma/unit.h"

namespace assay::simulator {
namespace {

using formats::FormatSpec;
using Codes = std::vector<std::uint32_t>;

float value(const FormatSpec& spec, std::uint32_t code) {
  return std::bit_cast<float>(formats::detail::decode_to_f32_bits(formats::fields_of(spec), code));
}

/// To nearest even, infinite above the range: what a partial sum in a narrower type becomes.
float rounded_to(const FormatSpec& spec, float x) {
  if (&spec == &formats::fp32) return x;
  const formats::Policy policy{formats::Overflow::to_infinity, formats::NanRule::all_ones,
                               formats::UnsignedRule::clamp};
  return value(spec, formats::encode(spec, x, formats::RoundingMode::nearest_even, policy));
}

/// Columns of a row-major matrix in the order of a segment; zeros beyond the matrix.
Codes gather(std::span<const std::uint32_t> codes, std::int64_t rows, std::int64_t cols,
             const Segment& segment, int block) {
  Codes out;
  for (std::int64_t row = 0; row < rows; ++row)
    for (const KRange& range : segment)
      for (std::int64_t k = range.first / block; k < (range.first + range.count) / block; ++k)
        out.push_back(k < cols ? codes[static_cast<std::size_t>(row * cols + k)] : 0);
  return out;
}

/// The operands of one segment, k elements a row.
struct Part {
  std::int64_t k = 0;
  Codes a, b, scale_a, scale_b;
};

class Runner {
 public:
  Runner(const GemmPlan& plan, const GemmOperands& o, int threads)
      : plan_(plan), model_(plan.model), o_(o), threads_(threads) {}

  /// The accumulators of a slice, FP32.
  [[nodiscard]] std::vector<float> slice(const std::vector<Segment>& segments, bool from_c) const {
    std::vector<float> sum(outputs());
    if (from_c)
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = value(*plan_.c, o_.c[i]);
    for (const Segment& segment : segments) {
      const bool promoted = plan_.promote_every != 0;
      const Codes d = chain(segment, from_c && !promoted ? o_.c : std::span<const std::uint32_t>());
      for (std::size_t i = 0; i < d.size(); ++i) {
        const float partial = value(*model_.d, d[i]);
        sum[i] = promoted ? sum[i] + partial : partial;
      }
    }
    return sum;
  }

  [[nodiscard]] std::size_t outputs() const { return static_cast<std::size_t>(o_.m * o_.n); }

 private:
  /// The unit's accumulators behind the instructions of a segment.
  [[nodiscard]] Codes chain(const Segment& segment, std::span<const std::uint32_t> c) const {
    Part part;
    for (const KRange& range : segment) part.k += range.count;
    part.a = gather(o_.a, o_.m, o_.k, segment, 1);
    part.b = gather(o_.b, o_.n, o_.k, segment, 1);
    if (model_.scale != nullptr) {
      const int block = model_.scale_block;
      part.scale_a = gather(o_.scale_a, o_.m, o_.k / block, segment, block);
      part.scale_b = gather(o_.scale_b, o_.n, o_.k / block, segment, block);
    }
    Codes d(outputs());
    if (has_fast_mma(model_) && plan_.instruction_k % model_.step == 0)
      fast(part, c, d);
    else
      one_by_one(part, c, d);
    return d;
  }

  void fast(const Part& part, std::span<const std::uint32_t> c, Codes& d) const {
    const MmaOperand a = unpack_mma(model_, Side::a, o_.m, part.k, part.a, part.scale_a);
    const MmaOperand b = unpack_mma(model_, Side::b, o_.n, part.k, part.b, part.scale_b);
    mma_gemm(model_, a, b, c, d, threads_);
  }

  void one_by_one(const Part& part, std::span<const std::uint32_t> c, Codes& d) const {
    const bool unit = has_unit(model_);
    const MmaUnit parameters = unit ? unit_of(model_) : MmaUnit{};
#pragma omp parallel for num_threads(threads_) schedule(dynamic)
    for (std::int64_t row = 0; row < o_.m; ++row) {
      for (std::int64_t col = 0; col < o_.n; ++col) {
        const auto at = static_cast<std::size_t>(row * o_.n + col);
        std::uint32_t code = c.empty() ? 0 : c[at];
        for (std::int64_t k = 0; k < part.k; k += plan_.instruction_k) {
          const DotOperands o = instruction(part, row, col, k, code);
          code = unit ? unit_dot(
                            parameters, [&o](int i) { return o.a[static_cast<std::size_t>(i)]; },
                            [&o](int i) { return o.b[static_cast<std::size_t>(i)]; },
                            plan_.instruction_k, code)
                      : dot(model_, o);
        }
        d[at] = code;
      }
    }
  }

  [[nodiscard]] DotOperands instruction(const Part& part, std::int64_t row, std::int64_t col,
                                        std::int64_t k, std::uint32_t c) const {
    const auto piece = [&part, k](const Codes& codes, std::int64_t r, std::int64_t block,
                                  int count) {
      return std::span(codes).subspan(static_cast<std::size_t>(r * (part.k / block) + k / block),
                                      static_cast<std::size_t>(count / block));
    };
    DotOperands o{piece(part.a, row, 1, plan_.instruction_k),
                  piece(part.b, col, 1, plan_.instruction_k), c};
    if (model_.scale == nullptr) return o;
    o.scale_a = piece(part.scale_a, row, model_.scale_block, plan_.instruction_k);
    o.scale_b = piece(part.scale_b, col, model_.scale_block, plan_.instruction_k);
    return o;
  }

  const GemmPlan& plan_;
  const MmaModel& model_;
  const GemmOperands& o_;
  int threads_;
};

void add(std::vector<float>& to, const std::vector<float>& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

std::vector<float> reduced(ReductionOrder order, std::vector<std::vector<float>> slices) {
  if (order == ReductionOrder::descending) std::reverse(slices.begin(), slices.end());
  if (order != ReductionOrder::pairwise) {
    for (std::size_t s = 1; s < slices.size(); ++s) add(slices[0], slices[s]);
    return std::move(slices[0]);
  }
  while (slices.size() > 1) {
    std::vector<std::vector<float>> half;
    for (std::size_t s = 0; s < slices.size(); s += 2) {
      if (s + 1 < slices.size()) add(slices[s], slices[s + 1]);
      half.push_back(std::move(slices[s]));
    }
    slices = std::move(half);
  }
  return std::move(slices[0]);
}

void require_codes(const char* what, std::span<const std::uint32_t> codes, const FormatSpec& spec,
                   std::int64_t wanted) {
  if (static_cast<std::int64_t>(codes.size()) != wanted)
    throw std::invalid_argument(fmt::format("{} has {} codes of {}, where {} belong", what,
                                            codes.size(), spec.name, wanted));
  if (spec.storage_bits >= 32) return;
  for (std::size_t i = 0; i < codes.size(); ++i)
    if (codes[i] >> spec.storage_bits != 0)
      throw std::invalid_argument(fmt::format("{} code {} is {:#x}, which {} bits do not hold",
                                              what, i, codes[i], spec.storage_bits));
}

void require_fit(const GemmPlan& plan, const GemmOperands& o) {
  require_valid(plan);
  const MmaModel& m = plan.model;
  if (o.m < 1 || o.n < 1 || o.k < 1)
    throw std::invalid_argument("a GEMM needs at least one row of A, one of B, and one k");
  if (m.scale != nullptr && o.k % m.scale_block != 0)
    throw std::invalid_argument(
        fmt::format("{} has a scale per {} elements: k must be a multiple, "
                    "not {}",
                    m.name, m.scale_block, o.k));
  require_codes("A", o.a, *m.a, o.m * o.k);
  require_codes("B", o.b, *m.b, o.n * o.k);
  if (m.scale == nullptr && !(o.scale_a.empty() && o.scale_b.empty()))
    throw std::invalid_argument(m.name + " has no block scales");
  if (m.scale != nullptr) {
    require_codes("scale A", o.scale_a, *m.scale, o.m * (o.k / m.scale_block));
    require_codes("scale B", o.scale_b, *m.scale, o.n * (o.k / m.scale_block));
  }
  if (!o.c.empty() || plan.start_from_c) require_codes("C", o.c, *plan.c, o.m * o.n);
  if (!o.bias.empty()) require_codes("the bias", o.bias, *plan.bias, o.n);
}

float factor(const GemmOperands& o, Factor f) {
  const float values[] = {o.alpha, o.tensor_scale_a, o.tensor_scale_b, o.tensor_scale_d};
  return values[static_cast<std::size_t>(f)];
}

float step(const GemmPlan& plan, const GemmOperands& o, const EpilogueStep& s, std::int64_t at,
           float x) {
  float f = 1;
  for (std::size_t i = 0; i < s.by.size(); ++i)
    f = i == 0 ? factor(o, s.by[i]) : f * factor(o, s.by[i]);
  const bool with_c = s.term == Addend::c;
  const bool absent = with_c ? o.c.empty() || o.beta == 0 : o.bias.empty();
  if (s.op == EpilogueStep::Op::multiply || (s.op == EpilogueStep::Op::multiply_add && absent))
    return x * f;
  if (absent) return x;
  const float term = with_c ? value(*plan.c, o.c[static_cast<std::size_t>(at)])
                            : value(*plan.bias, o.bias[static_cast<std::size_t>(at % o.n)]);
  if (with_c && s.fused) return std::fma(o.beta, term, x);
  const float t = with_c ? o.beta * term : term;
  return s.op == EpilogueStep::Op::add ? x + t : std::fma(x, f, t);
}

}  // namespace

std::uint32_t finish(const GemmPlan& plan, const GemmOperands& o, std::int64_t at, float x) {
  for (const EpilogueStep& s : plan.epilogue) x = step(plan, o, s, at, x);
  const formats::NanRule nan = plan.output->specials == formats::Specials::none
                                   ? formats::NanRule::max_finite
                                   : formats::NanRule::all_ones;
  return formats::encode(*plan.output, x, plan.rounding,
                         {plan.overflow, nan, formats::UnsignedRule::clamp});
}

std::vector<std::uint32_t> gemm(const GemmPlan& plan, const GemmOperands& o, int threads) {
  require_fit(plan, o);
  if (threads < 1) throw std::invalid_argument("gemm: threads must be at least 1");
  const Runner runner(plan, o, threads);
  const Schedule schedule = schedule_of(plan, o.k);
  std::vector<std::vector<float>> slices;
  for (std::size_t s = 0; s < schedule.slices.size(); ++s) {
    slices.push_back(runner.slice(schedule.slices[s], plan.start_from_c && s == 0));
    if (schedule.slices.size() > 1)
      for (float& x : slices.back()) x = rounded_to(*plan.split.partials, x);
  }
  const std::vector<float> sum = reduced(plan.split.order, std::move(slices));
  Codes d(sum.size());
#pragma omp parallel for num_threads(threads)
  for (std::size_t i = 0; i < sum.size(); ++i)
    d[i] = finish(plan, o, static_cast<std::int64_t>(i), sum[i]);
  return d;
}

}  // namespace assay::simulator
