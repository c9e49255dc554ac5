// SPDX-License-Identifier: Apache-2.0
#include "simulator/replay.h"

#include <algorithm>

#include "simulator/graph_walk.h"

namespace assay::simulator {

ReplayResult replay(const Recording& recording, const Recipe& recipe,
                    const ReplayOptions& options) {
  ReplayOptions all = options;
  for (const Op& op : recording.ops()) all.layers = std::max(all.layers, op.layer + 1);
  return GraphWalk(recording, recipe, all).run();
}

}  // namespace assay::simulator
