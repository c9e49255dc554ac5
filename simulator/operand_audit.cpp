// SPDX-License-Identifier: Apache-2.0
#include "simulator/operand_audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <exception>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "formats/block.h"
#include "formats/names.h"
#include "formats/presets.h"
#include "simulator/linear_replay.h"
#include "simulator/operand_job.h"
#include "simulator/tile_kernels.h"
#include "simulator/tile_statistics.h"

namespace assay::simulator {
namespace {

using formats::Tile;

/// Elements of a tile: with their codes and values they stay in a core's cache.
constexpr std::int64_t kTileElements = std::int64_t{1} << 17;
/// Tiles that are asked for ahead of the one at hand.
constexpr std::int64_t kAhead = 64;
/// Tiles whose sums are held at a time: of blocks that span tiles there are many in each.
constexpr std::int64_t kBatch = 4096;
constexpr std::int64_t kSpanningBatch = 256;

[[noreturn]] void refuse(const Operand& o, const Tile& tile, std::span<const float> x) {
  const auto bad = std::find_if(x.begin(), x.end(), [](float v) { return !std::isfinite(v); });
  const std::int64_t at = bad - x.begin();
  throw InputError(fmt::format(
      "tensor {} holds {} in row {}, column {}; replay needs a finite training step.", o.tensor,
      std::isnan(*bad) ? "a NaN" : "an infinity", tile.row + at / tile.cols, at % tile.cols));
}

/// The elements of a tile as floats, where somebody asks for them.
class Floats {
 public:
  Floats(const OperandSource& source, const Operand& o, const Tile& tile, std::span<float> room,
         std::span<const std::uint16_t> bf16)
      : source_(source), operand_(o), tile_(tile), room_(room), bf16_(bf16) {}
  /// Throws InputError where one is not finite.
  std::span<const float> get() {
    if (done_) return room_;
    if (bf16_.empty()) {
      source_.read(operand_, tile_.row, tile_.rows, room_);
    } else {
      for (std::size_t i = 0; i < bf16_.size(); ++i)
        room_[i] = std::bit_cast<float>(std::uint32_t{bf16_[i]} << 16);
    }
    if (!std::isfinite(largest_magnitude(room_))) refuse(operand_, tile_, room_);
    done_ = true;
    return room_;
  }

 private:
  const OperandSource& source_;
  const Operand& operand_;
  const Tile& tile_;
  std::span<float> room_;
  std::span<const std::uint16_t> bf16_;
  bool done_ = false;
};

/// Calls f(index, tile, room for its elements) for tiles [first, last), on all cores; what it
/// throws first, by tile, leaves.
template <typename F>
void for_tiles(const OperandSource& source, const Operand& o, std::int64_t height,
               std::int64_t first, std::int64_t last, F f) {
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(last - first));
#pragma omp parallel if (last - first > 1)
  {
    thread_local std::vector<float> x;
#pragma omp for schedule(dynamic)
    for (std::int64_t i = first; i < last; ++i) {
      try {
        const Tile tile{i * height, 0, std::min(height, o.rows - i * height), o.cols};
        const std::int64_t ahead = tile.row + kAhead * height;
        if (i == 0) source.prefetch(o, 0, std::min(ahead, o.rows));
        if (ahead < o.rows) source.prefetch(o, ahead, std::min(height, o.rows - ahead));
        x.resize(static_cast<std::size_t>(tile.rows * tile.cols));
        f(static_cast<std::size_t>(i - first), tile, std::span<float>(x));
      } catch (...) {
        errors[static_cast<std::size_t>(i - first)] = std::current_exception();
      }
    }
  }
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
}

/// Sums of tiles under one format, added in the order of the tiles.
class Total {
 public:
  void add(const TilePart& p) {
    if (blocks_.size() < p.sums.blocks.size()) blocks_.resize(p.sums.blocks.size());
    for (std::size_t b = 0; b < p.sums.blocks.size(); ++b) {
      blocks_[b].power += p.sums.blocks[b].power;
      blocks_[b].error += p.sums.blocks[b].error;
    }
    all_.total.power += p.total.power;
    all_.total.error += p.total.error;
    if (p.worst_error > all_.worst_error) {
      all_.worst_error = p.worst_error;
      all_.worst_block = p.worst_block;
    }
    all_.sums.xy += p.sums.xy;
    all_.sums.clipped += p.sums.clipped;
    all_.sums.flushed += p.sums.flushed;
    all_.sums.reencode_changed += p.sums.reencode_changed;
    for (std::size_t c = 0; c < all_.sums.codes.size(); ++c) all_.sums.codes[c] += p.sums.codes[c];
  }

  [[nodiscard]] TensorReplay result(const Operand& o, const OperandJob& job) const {
    TilePart all = all_;
    find_worst(blocks_, 0, all);  // of blocks that span tiles
    TensorReplay t;
    t.tensor = o.tensor;
    t.op = o.op;
    t.role = o.role;
    t.tensor_class = o.tensor_class;
    t.layer = o.layer;
    t.expert = o.expert;
    t.rows = o.rows;
    t.cols = o.cols;
    t.format = job.name();
    t.stand_in_scales = job.format().scales == ScaleSource::least_squares;
    t.clipped = all.sums.clipped;
    t.flushed = all.sums.flushed;
    t.reencode_changed = all.sums.reencode_changed;
    t.codes = all.sums.codes;
    t.worst_block = all.worst_block;
    t.worst_block_error = all.worst_error;
    if (all.total.power > 0) {
      // ||x^ - a x||^2 = ||x^ - x||^2 - (1 - a)^2 ||x||^2 where a = <x, x^> / <x, x>.
      t.error.gain = all.sums.xy / all.total.power;
      t.error.relative_mse = all.total.error / all.total.power;
      const double shrink = 1 - t.error.gain;
      t.error.nsr = std::max(0.0, t.error.relative_mse - shrink * shrink);
    }
    return t;
  }

 private:
  std::vector<BlockSums> blocks_;
  TilePart all_;
};

/// What the recipe makes of the operand; empty where it leaves it in high precision.
std::vector<OperandFormat> formats_of(const Operand& operand, const Recipe& recipe,
                                      const ReplayOptions& options, int layers) {
  const Treatment t =
      recipe.treatment(operand.tensor_class, operand.expert, options.step, {operand.layer, layers});
  std::vector<OperandFormat> formats;
  if (operand.role == Role::weight) formats = {t.weight};
  if (operand.role == Role::input) formats = {t.activation, t.wgrad_input.value_or(t.activation)};
  if (operand.role == Role::output_grad)
    formats = {t.gradient, t.wgrad_gradient.value_or(t.gradient)};
  std::erase_if(formats, [&](const OperandFormat& f) { return !quantizes(f, recipe); });
  return formats;
}

}  // namespace

std::string describe(const OperandFormat& format) {
  std::string text(format.format_name());
  if (format.block) {
    const formats::BlockShape shape = format.block->block;
    const auto side = [](std::int64_t n) {
      return n == 0 ? std::string("all") : std::to_string(n);
    };
    const formats::BlockShape own = formats::find_block_format(format.block->name).block;
    if (own.rows != shape.rows || own.cols != shape.cols)
      text += " " + side(shape.rows) + "x" + side(shape.cols);
  }
  if (format.hadamard > 0) text += fmt::format(" hadamard-{}", format.hadamard);
  if (format.rounding != formats::RoundingMode::nearest_even)
    text += fmt::format(" {}", formats::name_of(format.rounding));
  return text;
}

std::vector<OperandResult> audit_operand(const OperandSource& source, const Operand& operand,
                                         std::span<const Recipe> recipes,
                                         const ReplayOptions& options,
                                         std::span<const Operand> after) {
  const std::uint64_t seed = tensor_seed(options.seed, operand.tensor);
  std::vector<std::unique_ptr<OperandJob>> jobs;
  std::vector<std::pair<std::size_t, std::size_t>> wanted;  // recipe, job
  std::map<std::string, std::size_t> known;                 // formats, each measured once
  for (std::size_t r = 0; r < recipes.size(); ++r) {
    std::string before;
    for (const OperandFormat& f : formats_of(operand, recipes[r], options, source.layers())) {
      const std::string key = fmt::format("{} {} {} {}", describe(f), f.random_bits, f.random_signs,
                                          f.reencode ? f.reencode->name : "");
      if (key == before) continue;
      before = key;
      const auto [entry, fresh] = known.try_emplace(key, jobs.size());
      if (fresh) jobs.push_back(std::make_unique<OperandJob>(f, operand, seed));
      wanted.emplace_back(r, entry->second);
    }
  }
  if (jobs.empty()) return {};

  std::int64_t band = 1;
  for (const auto& job : jobs) band = std::lcm(band, job->band());
  const std::int64_t height =
      std::max<std::int64_t>(1, kTileElements / std::max<std::int64_t>(1, band * operand.cols)) *
      band;
  const std::int64_t tiles = (operand.rows + height - 1) / height;
  // The first pass, for what depends on the whole tensor.
  const auto any = [&](auto of) {
    return std::any_of(jobs.begin(), jobs.end(), [&](const auto& j) { return of(*j); });
  };
  const bool elements = any([](const OperandJob& j) {
    return j.needs_amax() && (j.columns() || j.format().hadamard > 0);
  });
  if (any([](const OperandJob& j) { return j.needs_amax(); })) {
    std::vector<float> amax(jobs.size());
    source.begin_pass(operand, true);
    for_tiles(source, operand, height, 0, tiles, [&](std::size_t, const Tile& tile, auto x) {
      const float all = source.largest(operand, tile.row, tile.rows, x);
      const bool bad = !std::isfinite(all);
      if (bad || elements) source.read(operand, tile.row, tile.rows, x);
      if (bad) refuse(operand, tile, x);
      std::vector<float> own;
      for (std::size_t j = 0; j < jobs.size(); ++j) {
        if (!jobs[j]->needs_amax()) continue;
        const auto turned = elements ? jobs[j]->turned(x, tile, own) : std::span<const float>();
        const float most = jobs[j]->format().hadamard > 0 ? largest_magnitude(turned) : all;
#pragma omp critical
        {
          amax[j] = std::max(amax[j], most);
          if (jobs[j]->columns()) jobs[j]->observe(turned, tile);
        }
      }
    });
    for (std::size_t j = 0; j < jobs.size(); ++j)
      if (jobs[j]->needs_amax() && !jobs[j]->columns()) jobs[j]->observe(amax[j]);
  }
  source.begin_pass(operand, false);
  const auto next = std::find_if(after.begin(), after.end(), [&](const Operand& o) {
    return std::any_of(recipes.begin(), recipes.end(), [&](const Recipe& r) {
      return !formats_of(o, r, options, source.layers()).empty();
    });
  });
  if (next != after.end()) source.announce(*next);
  const bool bf16 = source.is_bf16(operand);
  for (const auto& job : jobs)
    if (bf16) job->expect_bf16();
  std::vector<Total> totals(jobs.size());
  const std::int64_t batch =
      any([](const OperandJob& j) { return j.spans_tiles(); }) ? kSpanningBatch : kBatch;
  for (std::int64_t first = 0; first < tiles; first += batch) {
    const std::int64_t last = std::min(first + batch, tiles);
    std::vector<std::vector<TilePart>> parts(
        jobs.size(), std::vector<TilePart>(static_cast<std::size_t>(last - first)));
    for_tiles(source, operand, height, first, last, [&](std::size_t i, const Tile& tile, auto x) {
      const std::span<const std::uint16_t> raw =
          bf16 ? source.bf16(operand, tile.row, tile.rows) : std::span<const std::uint16_t>();
      Floats floats(source, operand, tile, x, raw);
      std::vector<float> own;
      for (std::size_t j = 0; j < jobs.size(); ++j) {
        if (auto part = bf16 ? jobs[j]->measure_bf16(raw, tile) : std::nullopt)
          parts[j][i] = *std::move(part);
        else
          parts[j][i] = jobs[j]->measure(jobs[j]->turned(floats.get(), tile, own), tile);
      }
    });
    for (std::size_t j = 0; j < jobs.size(); ++j)
      for (const TilePart& p : parts[j]) totals[j].add(p);
  }
  std::vector<OperandResult> results;
  results.reserve(wanted.size());
  for (const auto& [recipe, job] : wanted)
    results.push_back({recipe, totals[job].result(operand, *jobs[job])});
  return results;
}

}  // namespace assay::simulator
