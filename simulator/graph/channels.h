// SPDX-License-Identifier: Apache-2.0
#pragma once
// Outlier channels: columns of an activation that carry much more power than the others. One of
// them sets the scale factor of its block, and its neighbours lose their bits.
//
// Channel k of a value x has rms r_k over the tokens; it is an outlier where r_k > 6 median(r).
// What counts as one is this project's choice (LLM.int8, arXiv 2208.07339, calls elements of 6.0
// and more outliers, which has no meaning for values of another scale).

#include <string>
#include <vector>

#include "simulator/graph/forward.h"

namespace assay::simulator {

inline constexpr double kOutlierRatio = 6.0;

struct Channel {
  std::int64_t index = 0;
  double ratio = 0.0;        ///< rms over the median rms of the channels
  double power_share = 0.0;  ///< of the value's power
};

struct ChannelProfile {
  std::string op;  ///< whose value it is
  int layer = -1;
  std::int64_t channels = 0;
  std::uint64_t outliers = 0;
  double outlier_power = 0.0;  ///< share of the power that outlier channels hold
  double largest_ratio = 0.0;
  std::vector<Channel> largest;  ///< at most 8, largest ratio first
};

/// Of every value that a linear reads, gathered rows of experts apart: each value once.
[[nodiscard]] std::vector<ChannelProfile> channel_profiles(const Graph& graph, const Forward& run);
[[nodiscard]] ChannelProfile channel_profile(const Matrix& x);

}  // namespace assay::simulator
