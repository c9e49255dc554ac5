// SPDX-License-Identifier: Apache-2.0
#include "simulator/gemm_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "formats/fields.h"

namespace assay::simulator {
namespace {

void append(Segment& segment, std::int64_t first, std::int64_t count) {
  if (!segment.empty() && segment.back().first + segment.back().count == first)
    segment.back().count += count;
  else
    segment.push_back({first, count});
}

/// The tiles of a slice, in ascending order.
std::vector<std::int64_t> tiles_of(const SplitK& split, std::int64_t slice, std::int64_t tiles) {
  const std::int64_t count = split.count;
  std::vector<std::int64_t> mine;
  if (split.tiles == SplitTiles::interleaved) {
    for (std::int64_t t = slice; t < tiles; t += count) mine.push_back(t);
    return mine;
  }
  const std::int64_t each = (tiles + count - 1) / count;
  std::int64_t first = slice * each;
  std::int64_t end = first + each;
  if (split.tiles == SplitTiles::balanced) {
    first = slice * (tiles / count) + std::min(slice, tiles % count);
    end = first + tiles / count + (slice < tiles % count ? 1 : 0);
  }
  for (std::int64_t t = first; t < std::min(end, tiles); ++t) mine.push_back(t);
  return mine;
}

bool usable_number(const formats::FormatSpec* spec) {
  return spec == &formats::fp32 || spec == &formats::fp16 || spec == &formats::bf16;
}

}  // namespace

void require_valid(const GemmPlan& p) {
  require_valid(p.model);
  const auto require = [&p](bool good, const std::string& rule) {
    if (!good) throw std::invalid_argument(fmt::format("plan {}: {}", p.name, rule));
  };
  require(p.instruction_k > 0 &&
              (p.instruction_k % p.model.step == 0 || p.instruction_k == p.model.shortest_k),
          fmt::format("instruction_k must be {}or a multiple of the step {} of {}, not {}",
                      p.model.shortest_k < p.model.step ? fmt::format("{} ", p.model.shortest_k)
                                                        : std::string(),
                      p.model.step, p.model.name, p.instruction_k));
  const auto whole = [&p](int x) { return x % p.instruction_k == 0; };
  require(p.tile_k > 0 && whole(p.tile_k),
          fmt::format("tile_k must be a multiple of instruction_k {}, not {}", p.instruction_k,
                      p.tile_k));
  require(p.promote_every >= 0 && whole(p.promote_every),
          fmt::format("promote_every must be a multiple of instruction_k {}, not {}",
                      p.instruction_k, p.promote_every));
  require(p.split.count >= 1 && p.split.count <= 1024, "split_k count must lie in 1 to 1024");
  require(usable_number(p.split.partials), "split_k partials must be fp32, fp16 or bf16");
  require(usable_number(p.bias), "the bias must be fp32, fp16 or bf16");
  require(p.c->storage_shift == 0 && p.c->sign_bits == 1,
          "C must be in a signed format of numbers");
  require(!p.start_from_c || p.c == p.model.d,
          fmt::format("an accumulator that starts from C needs C in {}", p.model.d->name));
  require(p.rounding != formats::RoundingMode::stochastic,
          "a stochastic output rounding needs random words, which a plan does not have");
  require(formats::expressible(*p.output, {p.overflow,
                                           p.output->specials == formats::Specials::none
                                               ? formats::NanRule::max_finite
                                               : formats::NanRule::all_ones,
                                           formats::UnsignedRule::clamp}),
          fmt::format("{} cannot express the overflow rule of the output", p.output->name));
  bool adds_c = p.start_from_c;
  for (const EpilogueStep& step : p.epilogue) {
    const bool multiplies = step.op != EpilogueStep::Op::add;
    require(multiplies == !step.by.empty(),
            "an epilogue step has factors exactly where it multiplies");
    if (step.op == EpilogueStep::Op::multiply || step.term != Addend::c) continue;
    require(!adds_c, "C is added once");
    adds_c = true;
  }
}

Schedule schedule_of(const GemmPlan& plan, std::int64_t k) {
  const std::int64_t tiles = (k + plan.tile_k - 1) / plan.tile_k;
  Schedule schedule{tiles * plan.tile_k, {}};
  for (std::int64_t s = 0; s < plan.split.count; ++s) {
    std::vector<std::int64_t> mine = tiles_of(plan.split, s, tiles);
    if (mine.empty()) continue;
    if (plan.tile_order == TileOrder::descending) std::reverse(mine.begin(), mine.end());
    std::vector<Segment> segments(1);
    std::int64_t filled = 0;
    for (const std::int64_t tile : mine) {
      for (int i = 0; i < plan.tile_k; i += plan.instruction_k) {
        if (plan.promote_every != 0 && filled == plan.promote_every) {
          segments.emplace_back();
          filled = 0;
        }
        append(segments.back(), tile * plan.tile_k + i, plan.instruction_k);
        filled += plan.instruction_k;
      }
    }
    schedule.slices.push_back(std::move(segments));
  }
  return schedule;
}

}  // namespace assay::simulator
