// SPDX-License-Identifier: Apache-2.0
// GGML's packed blocks and the short names of block formats, as `assay formats` prints them.
#include <fmt/format.h>

#include <array>
#include <string_view>

#include "tools/format_tables.h"

namespace assay::tools {
namespace {

using formats::PackedBlock;
using formats::PackedField;

std::string_view text(formats::PackedElement element) {
  constexpr std::array<std::string_view, 4> names{"e2m1", "code - 2^(bits-1)", "code",
                                                  "two's complement"};
  return names[static_cast<std::size_t>(element)];
}
std::string_view text(formats::PackedScale kind) {
  constexpr std::array<std::string_view, 4> names{
      "one for each sub-block", "one for the block", "one for the block times 6 bits a sub-block",
      "one for the block times a signed byte a sub-block"};
  return names[static_cast<std::size_t>(kind)];
}
std::string_view text(formats::PackedOffset kind) {
  constexpr std::array<std::string_view, 3> names{
      "none", "an FP16 for the block, added",
      "an FP16 for the block times 6 bits a sub-block, subtracted"};
  return names[static_cast<std::size_t>(kind)];
}
std::string_view text(formats::PackedRule rule) {
  constexpr std::array<std::string_view, 3> names{
      "none, read only", "the element of largest magnitude becomes code 0 (GGML Q4_0)",
      "21 candidates, least weighted squared error (GGML Q4_K)"};
  return names[static_cast<std::size_t>(rule)];
}

/// Where the bits of a code lie: PackedField.
std::string place(const PackedField& field) {
  if (field.bits == 0) return "none";
  return fmt::format("{} bits, from byte {}, runs of {}", field.bits, field.at, field.run);
}

}  // namespace

Json describe(const PackedBlock& block) {
  return {{"name", block.name},
          {"GGUF type", block.gguf_type},
          {"elements", block.elements},
          {"bytes", block.bytes},
          {"bits/element", 8.0 * block.bytes / block.elements},
          {"sub-block", block.sub_block},
          {"element", text(block.element)},
          {"low bits", place(block.low)},
          {"high bits", place(block.high)},
          {"scale", block.scale->name},
          {"scale factors", text(block.scale_kind)},
          {"offset", text(block.offset_kind)},
          {"quantizer", text(block.rule)},
          {"source", block.source}};
}

Json describe(const formats::BlockFormatAlias& alias) {
  return {{"name", alias.name}, {"block format", alias.format->name}};
}

}  // namespace assay::tools
