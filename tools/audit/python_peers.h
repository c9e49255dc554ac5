// SPDX-License-Identifier: Apache-2.0
#pragma once
// The peers that Python has, reached through assay_peers.py in a process of its own: it casts given
// arrays and knows nothing else.

#include <array>
#include <string>
#include <vector>

#include "tools/audit/cast.h"

namespace assay::tools::audit {

/// The libraries that the script asks Python for, in its order.
inline constexpr std::array python_peer_names{"ml_dtypes", "torch", "gfloat"};

/// assay_peers.py beside this executable. Throws std::runtime_error where it is missing.
std::string peers_script();

/// ml_dtypes, torch and gfloat as `python` (a path, or a name in PATH) has them; each is absent
/// with a reason where it cannot be imported. Their casts keep the process alive. Throws
/// std::runtime_error, one sentence, where `python` cannot be run or does not answer as the script
/// does.
std::vector<Peer> python_peers(const std::string& python, const std::string& script);

}  // namespace assay::tools::audit
