// SPDX-License-Identifier: Apache-2.0
#include "formats/block_panel.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "formats/array.h"
#include "formats/codec.h"

namespace assay::formats {
namespace {

constexpr std::uint32_t kInfinityBits = 0x7F800000;

/// Scratch of a thread, reused from panel to panel; what a panel reads it has written before.
struct Scratch {
  Registers blocks;
  Registers elements;
  alignas(64) std::array<std::uint32_t, kLanes> amax;
  alignas(64) std::array<std::int64_t, kLanes> scale_codes;
  std::array<float, kLanes> factor;
  std::array<bool, kLanes> blank;  // all codes 0 whatever the elements
  bool any_blank;
  alignas(64) std::array<std::uint8_t, kChunk + kSlack> codes;
  alignas(64) std::array<std::uint32_t, kChunk + kSlack> random;
  std::array<float, kLanes> scale;  // 0 where blank
  std::array<float, kLanes> error;
  std::array<std::uint16_t, kLanes> winner;  // units that the current order is best for so far
};

/// What the candidate of least error so far left for each unit.
struct Best {
  Registers blocks;
  std::array<std::int64_t, kLanes> scale_codes;
  std::array<float, kLanes> factor;
  std::array<bool, kLanes> blank;
  std::array<float, kLanes> error;
};

class PanelWork {
 public:
  PanelWork(const PanelJob& job, const Panel& panel, Scratch& scratch)
      : job_(job),
        context_(job.context),
        s_(scratch),
        kernels_(block_kernels()),
        order_(job.context.orders.data()),
        panel_(panel),
        units_(static_cast<std::size_t>(panel.rows * panel.cols)),
        first_row_(panel.row * context_.unit.rows),
        first_col_(panel.col * context_.unit.cols),
        last_row_(std::min(job.tile.rows, first_row_ + panel.rows * context_.unit.rows)),
        last_col_(std::min(job.tile.cols, first_col_ + panel.cols * context_.unit.cols)) {}

  void run() {
    find_amax();
    const bool fast = context_.orders.size() == 1 ? quantize_scales() : choose_scales();
    store_scales();
    for_each_run(fast, [&](std::int64_t row, std::int64_t col, std::int64_t size) {
      fast ? encode_fast(row, col, size) : encode_general(row, col, size);
    });
  }

  /// See find_block_scales().
  bool probe(std::span<const std::uint32_t> amax, std::span<std::uint32_t> codes,
             std::span<float> factors) {
    std::copy(amax.begin(), amax.end(), s_.amax.begin());
    const bool usual = quantize_scales() && !s_.any_blank;
    std::copy_n(s_.scale_codes.begin(), units_, codes.begin());
    std::copy_n(s_.factor.begin(), units_, factors.begin());
    return usual;
  }

 private:
  [[nodiscard]] std::int64_t unit_row(std::int64_t row) const {
    return (row - first_row_) / context_.unit.rows;
  }

  [[nodiscard]] Run run_of(std::int64_t row, std::int64_t col, std::int64_t size) const {
    const std::int64_t offset = row * job_.tile.cols + col;
    return {job_.x.data() + offset, static_cast<std::size_t>(size),
            job_.x.size() - static_cast<std::size_t>(offset),
            static_cast<std::size_t>((col - first_col_) % context_.unit.cols),
            static_cast<std::size_t>(context_.unit.cols)};
  }

  /// The number of the block that unit (i, j) of the panel lies in, in the whole tensor.
  [[nodiscard]] std::size_t block_of(std::int64_t i, std::int64_t j) const {
    return static_cast<std::size_t>(
        context_.grid.block_of(job_.tile.row + first_row_ + i * context_.unit.rows,
                               job_.tile.col + first_col_ + j * context_.unit.cols));
  }

  /// The same in the tile.
  [[nodiscard]] std::size_t own_block(std::int64_t i, std::int64_t j) const {
    return static_cast<std::size_t>(job_.grid.block_of(first_row_ + i * context_.unit.rows,
                                                       first_col_ + j * context_.unit.cols));
  }

  template <class Body>
  void for_each_unit(Body body) const {
    std::size_t unit = 0;
    for (std::int64_t i = 0; i < panel_.rows; ++i) {
      for (std::int64_t j = 0; j < panel_.cols; ++j) body(unit++, i, j);
    }
  }

  /// Calls body(row, first column, size) for the pieces of every row that are encoded at a time.
  template <class Body>
  void for_each_run(bool fast, Body body) const {
    const auto step = static_cast<std::int64_t>(fast ? kChunk : kLanes);
    for (std::int64_t row = first_row_; row < last_row_; ++row) {
      for (std::int64_t col = first_col_; col < last_col_; col += step) {
        body(row, col, std::min(step, last_col_ - col));
      }
    }
  }

  bool quantize_scales() {
    find_scales();
    return find_factors();
  }

  /// Candidates (tensor.h): tries all orders and leaves the scratch as if each unit's best one had
  /// been the only one; without the registers where every order is fast, for nothing reads them
  /// then.
  bool choose_scales() { return choose_scales(false) || choose_scales(true); }

  bool choose_scales(bool keep_registers) {
    static thread_local Best own;
    Best& best = own;
    bool fast = true;
    for (const OrderJob& order : context_.orders) {
      const bool first = &order == context_.orders.data();
      order_ = &order;
      const bool own_fast = quantize_scales();
      fast &= own_fast;
      measure(own_fast);
      std::size_t winners = 0;  // counted without branches: which order wins is anyone's guess
      for (std::size_t u = 0; u < units_; ++u) {
        s_.winner[winners] = static_cast<std::uint16_t>(u);
        winners += first || s_.error[u] < best.error[u] ? 1 : 0;
      }
      for (std::size_t i = 0; i < winners; ++i) {
        const std::size_t u = s_.winner[i];
        best.error[u] = s_.error[u];
        best.scale_codes[u] = s_.scale_codes[u];
        best.factor[u] = s_.factor[u];
        best.blank[u] = s_.any_blank && s_.blank[u];
      }
      for (std::size_t r = 0; keep_registers && r < best.blocks.lanes.size(); ++r) {
        for (std::size_t i = 0; i < winners; ++i) {
          best.blocks.lanes[r][s_.winner[i]] = s_.blocks.lanes[r][s_.winner[i]];
        }
      }
    }
    std::copy_n(best.scale_codes.begin(), units_, s_.scale_codes.begin());
    std::copy_n(best.factor.begin(), units_, s_.factor.begin());
    std::copy_n(best.blank.begin(), units_, s_.blank.begin());
    s_.any_blank = std::any_of(best.blank.begin(), best.blank.begin() + units_, std::identity());
    for (std::size_t r = 0; keep_registers && r < best.blocks.lanes.size(); ++r) {
      std::copy_n(best.blocks.lanes[r].begin(), units_, s_.blocks.lanes[r].begin());
    }
    return fast;
  }

  /// The errors of the codes that the current order gives.
  void measure(bool fast) {
    std::fill_n(s_.error.begin(), units_, 0.0F);
    const double* scale = s_.blocks.of(Register::scale);
    const ErrorMeasure measure = context_.format->candidates->measure;
    if (fast && order_->element.encoder == Encoder::nearest && context_.exact_in_fp32) {
      for (std::size_t u = 0; u < units_; ++u) {
        s_.scale[u] = s_.any_blank && s_.blank[u] ? 0.0F : static_cast<float>(scale[u]);
      }
      for_each_run(true, [&](std::int64_t row, std::int64_t col, std::int64_t size) {
        const std::size_t unit = unit_of(row, col);
        kernels_.nearest_errors(order_->element, measure, run_of(row, col, size),
                                s_.factor.data() + unit, s_.scale.data() + unit, job_.tensor.scale,
                                s_.error.data() + unit);
      });
      return;
    }
    for_each_run(fast, [&](std::int64_t row, std::int64_t col, std::int64_t size) {
      if (fast) {
        codes_fast(row, col, size);
      } else {
        std::fill_n(s_.codes.begin(), size, std::uint8_t{0});
        codes_general(row, col, size, [&](std::int64_t i, std::uint32_t code) {
          s_.codes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(code);
        });
      }
      const Run run = run_of(row, col, size);
      for (std::int64_t i = 0; i < size; ++i) {
        const std::size_t u = unit_of(row, col + i);
        // Exact in double: three factors of at most 5, 24 and 24 significant bits.
        const double exact = static_cast<double>(context_.values[s_.codes[i]]) * scale[u] *
                             static_cast<double>(job_.tensor.scale);
        const float e = std::fabs(static_cast<float>(exact) - run.x[i]);
        const float term = measure == ErrorMeasure::squared ? e * e : e;
        s_.error[u] =
            measure == ErrorMeasure::largest ? std::max(s_.error[u], term) : s_.error[u] + term;
      }
    });
  }

  [[nodiscard]] std::size_t unit_of(std::int64_t row, std::int64_t col) const {
    return static_cast<std::size_t>(unit_row(row) * panel_.cols +
                                    (col - first_col_) / context_.unit.cols);
  }

  void find_amax() {
    if (!job_.amax.empty()) {
      for_each_unit([&](std::size_t u, std::int64_t i, std::int64_t j) {
        s_.amax[u] = job_.amax[block_of(i, j)];
      });
      return;
    }
    std::fill_n(s_.amax.begin(), units_, 0);
    for (std::int64_t row = first_row_; row < last_row_; ++row) {
      kernels_.block_amax(run_of(row, first_col_, last_col_ - first_col_),
                          s_.amax.data() + unit_row(row) * panel_.cols);
    }
  }

  [[nodiscard]] bool poisoned(std::size_t unit) const { return s_.amax[unit] >= kInfinityBits; }

  void find_scales() {
    const BlockFormat& format = *context_.format;
    for (std::size_t r = 0; r < job_.tensor.registers.size(); ++r) {
      // Only tensor registers that a phase has set are ever read (order.h); copying all is cheap
      // where panels are full, and the tensor phase of most formats is empty.
      if (!format.order->tensor.empty()) {
        std::fill_n(s_.blocks.lanes[r].begin(), units_, job_.tensor.registers[r]);
      }
    }
    double* amax = s_.blocks.of(Register::amax_block);
    std::uint32_t most = 0;
    for (std::size_t u = 0; u < units_; ++u) {
      most = std::max(most, s_.amax[u]);
      amax[u] = static_cast<double>(std::bit_cast<float>(std::min(s_.amax[u], kInfinityBits - 1)));
    }
    any_poisoned_ = most >= kInfinityBits;
    if (format.rule == ScaleRule::given) {
      const Policy policy{Overflow::saturate, NanRule::canonical, UnsignedRule::clamp};
      for_each_unit([&](std::size_t u, std::int64_t i, std::int64_t j) {
        const float given =
            job_.scales.empty() ? context_.scales[block_of(i, j)] : job_.scales[own_block(i, j)];
        const bool as_given = format.scale == &fp32;  // and finite, as block.cpp has seen
        const std::uint32_t code =
            as_given ? std::bit_cast<std::uint32_t>(given)
                     : encode(*format.scale, given, RoundingMode::nearest_even, policy);
        s_.scale_codes[u] = code;
        s_.blocks.of(Register::scale)[u] =
            static_cast<double>(as_given ? given : decode(*format.scale, code));
      });
    }
    kernels_.evaluate(order_->order->block, s_.blocks, units_, false);
    if (format.rule != ScaleRule::given) {
      // Exact: plan_order has seen that the last rounding of scale was to this format.
      kernels_.encode_scales(s_.blocks.of(Register::scale), s_.scale_codes.data(), units_,
                             {format.scale, RoundingMode::nearest_even, Overflow::saturate});
    }
    for (std::size_t u = 0; any_poisoned_ && u < units_; ++u) {
      if (poisoned(u)) s_.scale_codes[u] = fields_of(*format.scale).canonical_nan();
    }
  }

  void store_scales() {
    const BlockShape block = context_.format->block;
    const int bits = context_.format->scale->storage_bits;
    std::uint8_t* scales = job_.out.scales.data();
    for (std::int64_t i = 0; i < panel_.rows; ++i) {
      const std::int64_t* codes = s_.scale_codes.data() + i * panel_.cols;
      if (bits == 8 && block.rows != 0 && block.cols != 0 &&
          job_.out.scale_layout == ScaleLayout::row_major) {
        std::uint8_t* row = scales + (panel_.row + i) * job_.grid.cols + panel_.col;
        std::copy_n(codes, panel_.cols, row);
        continue;
      }
      for (std::int64_t j = 0; j < panel_.cols; ++j) {
        // A whole-extent block belongs to the unit that holds its first element of the tile.
        if (block.rows == 0 && panel_.row + i != 0) continue;
        if (block.cols == 0 && panel_.col + j != 0) continue;
        const std::int64_t row = block.rows == 0 ? 0 : panel_.row + i;
        const std::int64_t col = block.cols == 0 ? 0 : panel_.col + j;
        store_code(scales,
                   scale_index(row, col, job_.grid.rows, job_.grid.cols, job_.out.scale_layout),
                   bits, static_cast<std::uint32_t>(codes[j]));
      }
    }
  }

  /// False where a factor makes the vector kernels inapplicable.
  bool find_factors() {
    const ElementPlan& plan = order_->plan;
    bool fast = order_->fast;
    s_.any_blank = any_poisoned_;
    if (fast) {
      const double* factor = s_.blocks.of(plan.factor);
      bool usual = !any_poisoned_;
      for (std::size_t u = 0; u < units_; ++u) {
        s_.factor[u] = static_cast<float>(factor[u]);
        usual &= s_.factor[u] != 0 && std::fabs(s_.factor[u]) <= std::numeric_limits<float>::max();
      }
      if (usual) return true;
    }
    for (std::size_t u = 0; u < units_; ++u) {
      s_.blank[u] = poisoned(u);
      if (!fast || s_.blank[u]) continue;
      const bool zero = plan.path == ElementPath::divide && s_.factor[u] == 0;
      if (zero && plan.zero_guarded) {
        s_.blank[u] = true;
        s_.factor[u] = 1;
      } else if (zero || !std::isfinite(s_.factor[u])) {
        fast = false;
      }
      s_.any_blank |= s_.blank[u];
    }
    return fast;
  }

  void fill_random(std::int64_t row, std::int64_t col, std::size_t n) {
    const std::int64_t first = (job_.tile.row + row) * context_.cols + job_.tile.col + col;
    philox_words(context_.seed, static_cast<std::uint64_t>(first), std::span(s_.random).first(n));
  }

  [[nodiscard]] std::uint8_t* out_row(std::int64_t row) const {
    const std::int64_t stride =
        packed_bytes(job_.tile.cols, context_.format->element->storage_bits);
    return job_.out.codes.data() + row * stride;
  }

  /// The codes of a run, one a byte, in the scratch.
  void codes_fast(std::int64_t row, std::int64_t col, std::int64_t size) {
    if (order_->element.encoder == Encoder::stochastic) {
      fill_random(row, col, static_cast<std::size_t>(size));
    }
    const Run run = run_of(row, col, size);
    const std::size_t unit = unit_of(row, col);
    kernels_.encode_elements(order_->element, run, s_.factor.data() + unit, s_.random.data(),
                             s_.codes.data());
    if (s_.any_blank) clear_blank(run, unit);
  }

  void encode_fast(std::int64_t row, std::int64_t col, std::int64_t size) {
    codes_fast(row, col, size);
    const auto n = static_cast<std::size_t>(size);
    const int bits = context_.format->element->storage_bits;
    std::uint8_t* out =
        out_row(row) + col * bits / 8;  // whole: PanelGrid starts panels at even columns
    if (bits == 4) {
      kernels_.pack_nibbles(s_.codes.data(), n, out);
    } else {
      std::memcpy(out, s_.codes.data(), n);
    }
  }

  void clear_blank(const Run& run, std::size_t unit) {
    std::size_t done = 0;
    std::size_t count = std::min(run.size, run.block_cols - run.first);
    for (; done < run.size; ++unit) {
      if (s_.blank[unit]) std::memset(s_.codes.data() + done, 0, count);
      done += count;
      count = std::min(run.size - done, run.block_cols);
    }
  }

  void encode_general(std::int64_t row, std::int64_t col, std::int64_t size) {
    codes_general(row, col, size, [&](std::int64_t i, std::uint32_t code) {
      store_code(out_row(row), col + i, context_.format->element->storage_bits, code);
    });
  }

  /// Calls sink(i, code) for the elements of the run whose codes are not blank.
  template <class Sink>
  void codes_general(std::int64_t row, std::int64_t col, std::int64_t size, Sink sink) {
    const auto n = static_cast<std::size_t>(size);
    const BlockFormat& format = *context_.format;
    const bool stochastic = context_.rounding == RoundingMode::stochastic;
    if (stochastic) fill_random(row, col, n);
    const Run run = run_of(row, col, size);
    std::array<std::size_t, kLanes> unit;
    for (std::size_t i = 0; i < n; ++i) {
      unit[i] = unit_of(row, col + static_cast<std::int64_t>(i));
      for (std::size_t r = 0; r < s_.blocks.lanes.size(); ++r) {
        s_.elements.lanes[r][i] = s_.blocks.lanes[r][unit[i]];
      }
      s_.elements.of(Register::x)[i] = s_.blank[unit[i]] ? 0.0 : static_cast<double>(run.x[i]);
    }
    kernels_.evaluate(order_->order->element, s_.elements, n, true);
    for (std::size_t i = 0; i < n; ++i) {
      if (s_.blank[unit[i]]) continue;
      const Random random =
          stochastic ? Random{context_.random_bits, s_.random[i] >> (32 - context_.random_bits)}
                     : Random{};
      sink(static_cast<std::int64_t>(i), encode(*format.element, s_.elements.of(Register::x)[i],
                                                context_.rounding, context_.policy, random));
    }
  }

  const PanelJob& job_;
  const PanelContext& context_;
  Scratch& s_;
  const BlockKernels& kernels_;
  const OrderJob* order_;
  const Panel& panel_;
  const std::size_t units_;
  bool any_poisoned_ = false;
  const std::int64_t first_row_, first_col_, last_row_, last_col_;  // elements of the tile
};

}  // namespace

void quantize_panel(const PanelJob& job, const Panel& panel) {
  static thread_local Scratch scratch;
  PanelWork(job, panel, scratch).run();
}

bool find_block_scales(const PanelContext& context, const TensorPhase& tensor,
                       std::span<const std::uint32_t> amax, std::span<std::uint32_t> codes,
                       std::span<float> factors) {
  static thread_local Scratch scratch;
  BlockScaledTensor none;
  const PanelJob job{context, tensor, {}, {}, {}, context.grid, {}, none};
  const Panel panel{0, 1, 0, static_cast<std::int64_t>(amax.size())};
  return PanelWork(job, panel, scratch).probe(amax, codes, factors);
}

}  // namespace assay::formats
