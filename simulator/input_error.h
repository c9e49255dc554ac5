// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a reader throws when a file is not what it claims to be: one sentence that names the file,
// the problem and, where there is one, the fix. The CLI prints it and exits with code 4.

#include <stdexcept>

namespace assay::simulator {

class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An output that could not be written (no permission, full disk); nothing is left half written.
class OutputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace assay::simulator
