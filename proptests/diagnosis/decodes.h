// SPDX-License-Identifier: Apache-2.0
#pragma once
// What goes wrong where a code becomes a number, whatever the format: the ends of its range, the
// codes that are no numbers, fields that are lost.

#include <cstdint>
#include <span>

#include "golden/codec.h"

namespace assay::proptests::diagnosis {

struct Decode {
  const char* id;    ///< "subnormals_flushed", behind the name of an operand
  const char* text;  ///< "subnormal {} decode to 0"
  golden::Value (*of)(const formats::FormatSpec& f, std::uint32_t code);
};
[[nodiscard]] std::span<const Decode> decodes();

}  // namespace assay::proptests::diagnosis
