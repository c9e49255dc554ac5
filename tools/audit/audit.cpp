// SPDX-License-Identifier: Apache-2.0
#include "tools/audit/audit.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <numeric>

#include "formats/names.h"
#include "golden/codec.h"
#include "tools/audit/domain.h"

namespace assay::tools::audit {
namespace {

constexpr std::size_t most_surprises = 4;
constexpr std::uint32_t chunk = 1 << 20;

/// A range with the index of its finding.
struct Foreseen {
  Range range;
  std::size_t finding;
};

/// Predictions of one conversion by ascending input.
class Predictions {
 public:
  Predictions(const Cast& cast, Result& result) {
    for (const Finding& finding : findings()) {
      const std::vector<Range> ranges = finding.ranges(cast);
      if (ranges.empty()) continue;
      for (const Range& range : ranges) rows_.push_back({range, result.found.size()});
      result.found.push_back({&finding});
    }
    std::sort(rows_.begin(), rows_.end(),
              [](const Foreseen& a, const Foreseen& b) { return a.range.first < b.range.first; });
  }
  [[nodiscard]] const Foreseen* at(std::uint32_t input) const {
    const auto after = std::partition_point(
        rows_.begin(), rows_.end(), [input](const Foreseen& r) { return r.range.first <= input; });
    if (after == rows_.begin() || std::prev(after)->range.last < input) return nullptr;
    return &*std::prev(after);
  }

 private:
  std::vector<Foreseen> rows_;
};

bool is_nan(const formats::FormatSpec& spec, std::uint32_t code) {
  return code <= golden::code_mask(spec) && golden::decode(spec, code).is_nan();
}

void surprise(Result& result, const Difference& difference) {
  if (result.surprises.size() < most_surprises) result.surprises.push_back(difference);
}

void judge(const Predictions& predictions, const Difference& d, Result& result) {
  const Cast& cast = *result.cast;
  const bool differs = d.ours != d.theirs;
  result.differences += differs ? 1 : 0;
  const Foreseen* foreseen = predictions.at(widened(*cast.source, d.input));
  if (foreseen == nullptr) {
    if (!differs) return;
    ++result.unpredicted;
    surprise(result, d);
    return;
  }
  const Range& range = foreseen->range;
  const bool free_nan = range.theirs == any_nan;
  const bool as_named = range.ours == d.ours &&
                        (free_nan ? is_nan(*cast.destination, d.theirs) : range.theirs == d.theirs);
  Found& found = result.found[foreseen->finding];
  ++found.predicted;
  if (as_named) {
    if (differs && found.differences++ == 0) found.first = d;
    return;
  }
  ++(differs ? result.unpredicted : result.absent);
  surprise(result, d);
}

void note_corners(const std::vector<std::uint32_t>& in, const std::vector<std::uint32_t>& theirs,
                  Result& result) {
  for (Answers& answers : result.answers) {
    const auto from = std::lower_bound(in.begin(), in.end(), answers.corner->first);
    const auto to = std::upper_bound(from, in.end(), answers.corner->last);
    for (auto i = from; i != to; ++i)
      ++answers.codes[theirs[static_cast<std::size_t>(i - in.begin())]];
  }
}

/// Ascending inputs, into a result of their own.
Result part(const Cast& cast, const Result& empty, const Predictions& predictions,
            const Expected& expected, const std::vector<std::uint32_t>& in) {
  Result result = empty;
  std::vector<std::uint32_t> theirs(in.size());
  cast.convert(in, theirs);
  const std::vector<std::uint32_t> ours = expected.codes(in);
  for (std::size_t i = 0; i < in.size(); ++i)
    judge(predictions, {in[i], ours[i], theirs[i]}, result);
  note_corners(in, theirs, result);
  result.inputs = in.size();
  return result;
}

void merge(const Result& part, Result& whole) {
  whole.inputs += part.inputs;
  whole.differences += part.differences;
  whole.unpredicted += part.unpredicted;
  whole.absent += part.absent;
  const auto earlier = [](const Difference& a, const Difference& b) { return a.input < b.input; };
  for (std::size_t i = 0; i < part.found.size(); ++i) {
    Found& found = whole.found[i];
    const Found& more = part.found[i];
    if (more.differences != 0 && (found.differences == 0 || earlier(more.first, found.first)))
      found.first = more.first;
    found.predicted += more.predicted;
    found.differences += more.differences;
  }
  for (std::size_t i = 0; i < part.answers.size(); ++i) {
    for (const auto& [code, count] : part.answers[i].codes) whole.answers[i].codes[code] += count;
  }
  whole.surprises.insert(whole.surprises.end(), part.surprises.begin(), part.surprises.end());
  std::sort(whole.surprises.begin(), whole.surprises.end(), earlier);
  if (whole.surprises.size() > most_surprises) whole.surprises.resize(most_surprises);
}

/// Whether the library converts so much as 1.0.
bool has_cast(const Cast& cast) {
  const std::uint32_t one = 0x3F800000U;
  const std::array<std::uint32_t, 1> in{
      cast.source->storage_bits == 32
          ? one
          : golden::encode(*cast.source, golden::value_of(1.0F),
                           formats::RoundingMode::nearest_even,
                           golden::policy_of(formats::ieee, *cast.source))};
  std::array<std::uint32_t, 1> out{};
  cast.convert(in, out);
  return out[0] != refused;
}

}  // namespace

Result audit(const Cast& cast, bool whole) {
  Result result;
  result.cast = &cast;
  if (!has_cast(cast)) {
    result.missing = "the library has the type, and refuses to convert to it";
    return result;
  }
  const formats::Policy policy = golden::policy_of(*cast.profile, *cast.destination);
  const Predictions predictions(cast, result);
  // Directed modes part from each other at every number; E8M0 has no nearest mode in CUDA.
  const bool compared =
      cast.mode == formats::RoundingMode::nearest_even || cast.destination == &formats::e8m0;
  if (cast.source->storage_bits == 32 && compared) {
    for (const Corner& corner : corners())
      if (corner.destination == cast.destination) result.answers.push_back({&corner, {}});
  }
  const Expected expected(*cast.source, *cast.destination, cast.mode, policy);
  const Result empty = result;
  result.all = cast.source->storage_bits == 16 || (whole && cast.fast);
  if (cast.source->storage_bits == 16 || !result.all) {
    merge(part(cast, empty, predictions, expected,
               tried_inputs(*cast.source, *cast.destination, cast.mode, policy)),
          result);
    return result;
  }
  std::mutex merging;
  std::exception_ptr lost;
#pragma omp parallel for schedule(dynamic) if (cast.concurrent)
  for (int i = 0; i < (1 << 12); ++i) {
    std::vector<std::uint32_t> in(chunk);
    std::iota(in.begin(), in.end(), static_cast<std::uint32_t>(i) * chunk);
    try {
      const Result more = part(cast, empty, predictions, expected, in);
      const std::scoped_lock lock(merging);
      merge(more, result);
    } catch (...) {
      const std::scoped_lock lock(merging);
      lost = std::current_exception();
    }
  }
  if (lost) std::rethrow_exception(lost);
  return result;
}

}  // namespace assay::tools::audit
