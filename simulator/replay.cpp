// SPDX-License-Identifier: Apache-2.0
#include "simulator/replay.h"

#include "simulator/graph_walk.h"

namespace assay::simulator {

ReplayResult replay(const Recording& recording, const Recipe& recipe,
                    const ReplayOptions& options) {
  return GraphWalk(recording, recipe, options).run();
}

}  // namespace assay::simulator
