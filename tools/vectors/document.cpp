// SPDX-License-Identifier: Apache-2.0
// Rows of the tables as JSON, and the whole file.
#include <fmt/format.h>

#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "formats/names.h"
#include "golden/codec.h"
#include "tools/vectors/golden_case.h"

namespace assay::tools::vectors {
namespace {

using Json = nlohmann::ordered_json;

/// The bits of a number in the source's type.
std::string bits_of(const std::string& word, std::string_view type) {
  if (word.starts_with('#')) return word.substr(1);
  char* end = nullptr;
  const double as_double = std::strtod(word.c_str(), &end);
  if (*end != '\0') throw std::logic_error("'" + word + "' is no number");
  if (type == "fp64") return fmt::format("{:016x}", __builtin_bit_cast(std::uint64_t, as_double));
  const float as_float = std::strtof(word.c_str(), nullptr);
  if (type == "fp32") return fmt::format("{:08x}", __builtin_bit_cast(std::uint32_t, as_float));
  throw std::logic_error(fmt::format("give '{}' of type {} as bits after '#'", word, type));
}

/// Every word of a table's text, `N*7` seven times.
std::vector<std::string> words(const char* text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const std::size_t star = word.find('*');
    const int count = star == std::string::npos ? 1 : std::atoi(word.c_str() + star + 1);
    out.insert(out.end(), static_cast<std::size_t>(count), word.substr(0, star));
  }
  return out;
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

std::string numbers(const char* text, std::string_view type, std::int64_t at_least = 0) {
  std::vector<std::string> out;
  for (const std::string& word : words(text)) out.push_back(bits_of(word, type));
  while (static_cast<std::int64_t>(out.size()) < at_least) out.push_back(bits_of("0", type));
  return joined(out);
}

/// How the file is to be read; the README says the same at length.
Json conventions() {
  return {{"words", "hexadecimal, separated by blanks, as many digits as the type has bits / 4"},
          {"fp32, fp16, bf16, fp64, tf32", "the bits of the number"},
          {"codes",
           "one code an element, row-major: sign, exponent and mantissa from the top of its "
           "low bits"},
          {"scales", "one code of the scale format a block, row-major"},
          {"value", "code * scale factor * tensor scale"},
          {"saturating, ieee ... (policy)",
           "what overflow, NaN and negative numbers become; assay "
           "formats NAME prints a policy"}};
}

}  // namespace

Json to_json(const Case& row) {
  const std::string_view operation = row.operation;
  Json out{{"id", row.id}, {"operation", row.operation}, {"format", row.format}};
  if (*row.policy != '\0') {
    out["policy"] = row.policy;
    out["rounding"] = *row.rounding == '\0' ? "nearest_even" : row.rounding;
  }
  Json parameters = Json::object(), inputs = Json::object();
  if (operation == "encode") parameters["source"] = row.source_type;
  if (operation == "scale_offset") {
    parameters["layout"] = "128x4";
    parameters["down"] = row.rows;
    parameters["across"] = row.cols;
  } else if (row.rows != 0) {
    parameters["rows"] = row.rows;
    parameters["cols"] = row.cols;
  }
  if (row.random_bits != 0) parameters["random_bits"] = row.random_bits;
  if (row.seed >= 0) {
    parameters["seed"] = row.seed;
    if (operation != "quantize") parameters["index"] = row.index;
  }
  if (operation == "random") parameters["count"] = 8;
  const bool estimates = operation == "estimator";
  if (*row.target != '\0') parameters[estimates ? "estimator" : "target"] = row.target;

  if (operation == "scale_offset") {
    inputs["blocks"] = row.x;
  } else if (*row.x != '\0') {
    inputs[estimates ? "w" : "x"] = numbers(row.x, row.source_type, row.rows * row.cols);
  }
  if (*row.words != '\0')
    inputs[operation == "hadamard" ? "negative" : "words"] = joined(words(row.words));
  if (*row.codes != '\0') inputs["codes"] = joined(words(row.codes));
  if (*row.scales != '\0') {
    const bool as_numbers = estimates || operation == "quantize";
    inputs["scales"] = as_numbers ? numbers(row.scales, "fp32") : joined(words(row.scales));
  }
  if (*row.tensor_scale != '\0')
    inputs[estimates ? "g" : "tensor_scale"] = numbers(row.tensor_scale, "fp32");
  if (estimates)
    inputs["parameter"] = fmt::format("{:08x}", __builtin_bit_cast(std::uint32_t, row.parameter));
  if (*row.bytes != '\0') inputs["bytes"] = joined(words(row.bytes));
  out["parameters"] = std::move(parameters);
  out["inputs"] = std::move(inputs);
  out["source"] = row.section;
  out["why"] = row.why;
  return out;
}

std::string document() {
  Json cases = Json::array();
  for (const auto& table : {conversion_cases(), scale_cases(), block_cases(), other_cases()}) {
    for (const Case& row : table) {
      Json out = to_json(row);
      out["expected"] = expected(out);
      cases.push_back(std::move(out));
    }
  }
  const Json whole{{"schema", "assay-vectors"},         {"version", "1.0"},
                   {"made_by", "assay vectors golden"}, {"licence", "Apache-2.0"},
                   {"conventions", conventions()},      {"cases", std::move(cases)}};
  return whole.dump(1) + "\n";
}

}  // namespace assay::tools::vectors
