// SPDX-License-Identifier: Apache-2.0
#pragma once
// Golden vectors: cases with the bits that must come out, for people who test without assay. A case
// is a row of a table (cases_*.cpp); what it expects is derived from golden.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace assay::tools::vectors {

/// Numbers are written as decimals or hexadecimal floats and rounded to the source's type, or as
/// bits after '#'; `N*7` is seven times N. Codes and bytes are hexadecimal.
struct Case {
  const char* id;
  const char* operation;      ///< a row of operations()
  const char* format;         ///< a format, block format or packed block
  const char* policy = "";    ///< a profile; empty where nothing is converted
  const char* rounding = "";  ///< empty: the operation has none, or nearest_even
  const char* source_type = "fp32";
  std::int64_t rows = 0, cols = 0;  ///< of matrices; a shorter x ends in zeros
  int random_bits = 0;
  std::int64_t seed = -1, index = 0;  ///< of Philox; -1: the case gives its random words
  const char* target = "";            ///< of a re-encoding, a layout or an estimator
  float parameter = 0;                ///< of an estimator
  const char* x = "";
  const char* words = "";
  const char* codes = "";
  const char* scales = "";
  const char* tensor_scale = "";
  const char* bytes = "";
  const char* section;  ///< the specification or paper that it follows from
  const char* why;
};

std::span<const Case> conversion_cases();
std::span<const Case> scale_cases();
std::span<const Case> block_cases();
std::span<const Case> other_cases();

/// The case without what it expects, numbers as bits. Throws std::logic_error for a malformed row.
nlohmann::ordered_json to_json(const Case& row);

/// What golden says that a case of the file expects, from its operation, format, policy, parameters
/// and inputs. Throws std::invalid_argument, naming the case, where it cannot be read.
nlohmann::ordered_json expected(const nlohmann::ordered_json& row);

/// The names of all operations, for the test that each has cases.
std::vector<std::string> operations();

/// The whole file.
std::string document();

}  // namespace assay::tools::vectors
