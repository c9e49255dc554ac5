// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Python dictionary literal in a .npy header, and nothing more of Python. Private to the
// reader.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay::simulator {

struct NpyDictionary {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// Accepts a literal with exactly the keys descr (a string), fortran_order (True or False) and
/// shape (a tuple of natural numbers), in any order, then only blanks. Throws InputError.
NpyDictionary parse_npy_dictionary(std::string_view text, std::string_view file_name);

}  // namespace assay::simulator
