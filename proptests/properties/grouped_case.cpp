// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/grouped_case.h"

#include <fmt/format.h>

#include <algorithm>

#include "golden/grouped.h"
#include "golden/layout.h"
#include "proptests/judge.h"
#include "proptests/properties/integers.h"

namespace assay::proptests {
namespace {

bool masked(const GroupedCase& c) { return c.claim.group_layout == ASSAY_DUT_MASKED; }

/// Rows of A that a group takes in memory: its own, or in the masked layout as many as the longest
/// one's and some.
std::int64_t rows_of(const GroupedCase& c, std::size_t group) {
  if (!masked(c)) return c.groups[group].a.rows;
  std::int64_t rows = 1;
  for (const Group& g : c.groups) rows = std::max(rows, g.a.rows);
  return accepted(rows + c.trail, c.claim.m_multiple);
}

/// A as it lies in memory, a matrix, or a matrix for each group. What belongs to no group is NaN.
class Stack {
 public:
  Stack(const GroupedCase& c, std::int64_t rows) : rows_(rows), cols_(c.k) {
    if (c.claim.a == nullptr) {
      bf16_.assign(rows * c.k, 0x7FC1);
      return;
    }
    tensor_.format = c.claim.a;
    tensor_.rows = rows;
    tensor_.cols = c.k;
    tensor_.scale_layout = c.claim.scale_layout;
    if (rows == 0) return;
    tensor_.codes.assign(golden::code_bytes(*c.claim.a->element, rows, c.k, tensor_.layout), 0);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < c.k; ++i) golden::store_code(tensor_, r, i, 7);
    tensor_.scales.assign(golden::scale_bytes(*c.claim.a, rows, c.k, c.claim.scale_layout), 0);
    across_ = golden::block_grid(*c.claim.a, rows, c.k).across;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t b = 0; b < across_; ++b)
        golden::store_scale(tensor_, r, b, golden::canonical_nan(*c.claim.a->scale));
  }
  void put(const LeftOperand& a, std::int64_t at) {
    std::copy(a.bf16.begin(), a.bf16.end(), bf16_.begin() + (a.is_scaled() ? 0 : at * cols_));
    if (!a.is_scaled() || a.rows == 0) return;
    for (std::int64_t r = 0; r < a.rows; ++r) {
      for (std::int64_t i = 0; i < cols_; ++i)
        golden::store_code(tensor_, at + r, i, golden::load_code(a.scaled, r, i));
      for (std::int64_t b = 0; b < across_; ++b)
        golden::store_scale(tensor_, at + r, b, golden::load_scale(a.scaled, r, b));
    }
  }
  void append_to(std::vector<std::uint8_t>& values, std::vector<std::uint8_t>& scales) const {
    const auto bytes = bytes_of(std::span<const std::uint16_t>(bf16_));
    values.insert(values.end(), bytes.begin(), bytes.end());
    values.insert(values.end(), tensor_.codes.begin(), tensor_.codes.end());
    scales.insert(scales.end(), tensor_.scales.begin(), tensor_.scales.end());
  }

 private:
  std::int64_t rows_, cols_, across_ = 0;
  formats::BlockScaledTensor tensor_;
  std::vector<std::uint16_t> bf16_;
};

/// Values and scale factors of matrices of one shape, one after the other.
struct Batch {
  std::vector<std::uint8_t> values, scales;
  std::vector<float> tensor_scales;
};

/// The parts of `count` matrices as one operand with a leading dimension, or (count 0) as a matrix.
void add_batch(Call& call, std::uint32_t role, const formats::BlockFormat* format,
               formats::ScaleLayout layout, std::int64_t count, std::int64_t rows,
               std::int64_t cols, const Batch& batch) {
  const auto shape = [&](std::int64_t down, std::int64_t across) {
    return count == 0 ? std::vector{down, across} : std::vector{count, down, across};
  };
  call.in.push_back(operand(role, ASSAY_DUT_VALUES,
                            format == nullptr ? formats::bf16 : *format->element, shape(rows, cols),
                            batch.values));
  if (format == nullptr) return;
  // golden's grids have at least one row; the blocks of these formats are one row high.
  const golden::BlockGrid grid = golden::block_grid(*format, std::max<std::int64_t>(rows, 1), cols);
  Operand scales = operand(role, ASSAY_DUT_SCALES, *format->scale,
                           shape(rows == 0 ? 0 : grid.down, grid.across), batch.scales);
  scales.shape.layout = static_cast<std::uint32_t>(layout);
  scales.shape.bytes = batch.scales.size();
  call.in.push_back(scales);
  if (format->tensor_scale == formats::TensorScale::fp32)
    call.in.push_back(operand(role, ASSAY_DUT_TENSOR_SCALE, formats::fp32,
                              {static_cast<std::int64_t>(batch.tensor_scales.size())},
                              bytes_of(std::span(batch.tensor_scales))));
}

class GroupedExperiment final : public Experiment {
 public:
  explicit GroupedExperiment(GroupedCase c) : case_(std::move(c)) {
    if (masked(case_)) {
      m_ = rows_of(case_, 0);
      for (const Group& g : case_.groups) {
        Stack stack(case_, m_);
        stack.put(g.a, 0);
        stack.append_to(a_.values, a_.scales);
        counts_.push_back(g.a.rows);
        for (std::int64_t r = 0; r < m_; ++r) written_.push_back(r < g.a.rows ? 1 : 0);
      }
    } else {
      counts_.push_back(case_.lead);
      for (const Group& g : case_.groups) counts_.push_back(counts_.back() + g.a.rows);
      m_ = accepted(counts_.back() + case_.trail, case_.claim.m_multiple);
      Stack stack(case_, m_);
      for (std::size_t g = 0; g < case_.groups.size(); ++g)
        stack.put(case_.groups[g].a, counts_[g]);
      stack.append_to(a_.values, a_.scales);
      for (std::int64_t r = 0; r < m_; ++r)
        written_.push_back(r >= counts_.front() && r < counts_.back() ? 1 : 0);
    }
    a_.tensor_scales = {case_.a_tensor_scale};
    for (const Group& g : case_.groups) {
      b_.values.insert(b_.values.end(), g.b.codes.begin(), g.b.codes.end());
      b_.scales.insert(b_.scales.end(), g.b.scales.begin(), g.b.scales.end());
      b_.tensor_scales.push_back(g.b.tensor_scale);
    }
  }

  [[nodiscard]] std::optional<Call> call() const override {
    const GroupedCase& c = case_;
    const auto groups = static_cast<std::int64_t>(c.groups.size());
    Call call;
    call.claim = c.claim;
    call.m = m_;
    call.n = c.n;
    call.k = c.k;
    call.groups = groups;
    call.alpha = c.alpha;
    add_batch(call, ASSAY_DUT_A, c.claim.a, c.claim.scale_layout, masked(c) ? groups : 0, m_, c.k,
              a_);
    add_batch(call, ASSAY_DUT_B, c.claim.b, c.claim.scale_layout, groups, c.n, c.k, b_);
    call.in.push_back(integers(masked(c) ? ASSAY_DUT_COUNTS : ASSAY_DUT_OFFSETS,
                               {static_cast<std::int64_t>(counts_.size())},
                               std::span<const std::int64_t>(counts_)));
    Operand d = operand(ASSAY_DUT_D, ASSAY_DUT_VALUES, *c.claim.output,
                        masked(c) ? std::vector{groups, m_, c.n} : std::vector{m_, c.n});
    d.written = written_;
    call.out.push_back(d);
    spread(call, c.spread);
    return call;
  }

  /// Rows of no group come back as zeros and are held to be: that nobody wrote to them is the
  /// arena's to see.
  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const GroupedCase& c = case_;
    golden::FactoredMatrix a{0, c.k, {}, {}, c.a_tensor_scale, nullptr};
    std::vector<golden::FactoredMatrix> b;
    std::vector<std::int64_t> group_of;
    for (const Group& g : c.groups) {
      b.push_back(golden::factor(g.b));
      if (g.a.rows == 0) continue;
      const golden::FactoredMatrix rows = factor(g.a);
      a.element_format = rows.element_format;
      a.elements.insert(a.elements.end(), rows.elements.begin(), rows.elements.end());
      a.scales.insert(a.scales.end(), rows.scales.begin(), rows.scales.end());
      a.rows += g.a.rows;
      group_of.insert(group_of.end(), g.a.rows, static_cast<std::int64_t>(b.size()) - 1);
    }
    const std::vector<float> d = to_floats(*c.claim.output, answer.outputs[0]);
    if (a.rows == 0) return {};
    const golden::GemmOracle oracle =
        golden::grouped_gemm_oracle(a, b, group_of, c.alpha, accumulator_of(c.claim)).oracle;
    golden::GemmOracle in_place;
    std::size_t next = 0;
    for (const std::uint8_t written : written_)
      for (std::int64_t j = 0; j < c.n; ++j, next += written) {
        in_place.reference.push_back(written != 0 ? oracle.reference[next]
                                                  : golden::RationalValue::zero(false));
        in_place.bounds.push_back(written != 0 ? oracle.bounds[next] : golden::Bound{});
      }
    return judge_array("d", c.n, *c.claim.output, d, in_place.reference, in_place.bounds);
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    const GroupedCase& c = case_;
    std::vector<NamedText> text{
        {"shape", fmt::format("{} groups, {}, m {} n {} k {}, {} [{}], alpha {}, output {}",
                              c.groups.size(), masked(c) ? "masked" : "contiguous", m_, c.n, c.k,
                              masked(c) ? "counts" : "offsets", fmt::join(counts_, " "),
                              show(c.alpha), c.claim.output->name)}};
    if (c.claim.a != nullptr && c.claim.a->tensor_scale == formats::TensorScale::fp32)
      text.push_back({"tensor scale of a", show(c.a_tensor_scale)});
    for (std::size_t g = 0; g < c.groups.size(); ++g) {
      if (c.groups[g].a.rows > 0)
        text.push_back({fmt::format("a of group {}", g), show_operand(c.groups[g].a)});
      text.push_back({fmt::format("b of group {}", g), show_tensor(c.groups[g].b)});
    }
    return text;
  }

 private:
  GroupedCase case_;
  std::int64_t m_ = 0;
  std::vector<std::int64_t> counts_;  ///< or offsets
  std::vector<std::uint8_t> written_;
  Batch a_, b_;
};

/// One step: leave a group out, empty it, keep some of its rows, or some columns of all.
struct Reshape {
  enum class Kind : std::uint8_t { drop, empty, rows, n, k, slack, dense, alpha } kind;
  std::size_t group = 0;
  Piece piece = {};
};

std::vector<Reshape> reshapes(const GroupedCase& c) {
  using Kind = Reshape::Kind;
  std::vector<Reshape> edits;
  const std::size_t count = c.groups.size();
  for (std::size_t g = 0; count > 1 && g < count; ++g) edits.push_back({Kind::drop, g});
  for (const Piece& p : smaller(c.k))
    if (p.first % c.claim.b->block.cols == 0 && p.count % c.claim.k_multiple == 0 &&
        (c.claim.a == nullptr || p.first % c.claim.a->block.cols == 0))
      edits.push_back({Kind::k, 0, p});
  for (const Piece& p : smaller(c.n))
    if (p.count % c.claim.n_multiple == 0) edits.push_back({Kind::n, 0, p});
  for (std::size_t g = 0; g < count; ++g) {
    if (c.groups[g].a.rows > 0) edits.push_back({Kind::empty, g});
    for (const Piece& p : smaller(c.groups[g].a.rows)) edits.push_back({Kind::rows, g, p});
  }
  if (c.lead + c.trail > 0) edits.push_back({Kind::slack});
  if (c.spread.gap != 0) edits.push_back({Kind::dense});
  if (c.alpha != 1.0F) edits.push_back({Kind::alpha});
  return edits;
}

void perform(const Reshape& e, GroupedCase& c) {
  using Kind = Reshape::Kind;
  const auto crop_rows = [&](Group& g, const Piece& p) {
    g.a = crop(g.a, {p.first, p.count, 0, c.k});
  };
  switch (e.kind) {
    case Kind::drop:
      c.groups.erase(c.groups.begin() + static_cast<std::ptrdiff_t>(e.group));
      break;
    case Kind::empty:
      crop_rows(c.groups[e.group], {0, 0});
      break;
    case Kind::rows:
      crop_rows(c.groups[e.group], e.piece);
      break;
    case Kind::n:
      for (Group& g : c.groups) g.b = crop(g.b, {e.piece.first, e.piece.count, 0, c.k});
      c.n = e.piece.count;
      break;
    case Kind::k:
      for (Group& g : c.groups) {
        g.a = crop(g.a, {0, g.a.rows, e.piece.first, e.piece.count});
        g.b = crop(g.b, {0, c.n, e.piece.first, e.piece.count});
      }
      c.k = e.piece.count;
      break;
    case Kind::slack:
      c.lead = c.trail = 0;
      break;
    case Kind::dense:
      c.spread = {};
      break;
    case Kind::alpha:
      c.alpha = 1.0F;
      break;
  }
}

struct GroupEdit {
  std::size_t group;
  std::vector<LeftEdit> a;
  std::vector<TensorEdit> b;
};
std::vector<GroupEdit> group_edits(const GroupedCase& c) {
  std::vector<GroupEdit> edits;
  for (std::size_t g = 0; g < c.groups.size(); ++g) {
    if (c.groups[g].a.rows > 0)
      for (const LeftEdit& e : left_edits(c.groups[g].a)) edits.push_back({g, {e}, {}});
    for (const TensorEdit& e : tensor_edits(c.groups[g].b, false)) edits.push_back({g, {}, {e}});
  }
  return edits;
}

}  // namespace

ExperimentPtr grouped_experiment(GroupedCase c) {
  return std::make_shared<GroupedExperiment>(std::move(c));
}

rc::Seq<GroupedCase> simpler_grouped(const GroupedCase& c) {
  return rc::seq::concat(
      edited(c, reshapes(c), [](GroupedCase& to, const Reshape& e) { perform(e, to); }),
      edited(c, group_edits(c), [](GroupedCase& to, const GroupEdit& e) {
        for (const LeftEdit& a : e.a) perform(a, to.groups[e.group].a);
        for (const TensorEdit& b : e.b) perform(b, to.groups[e.group].b);
      }));
}

}  // namespace assay::proptests
