// SPDX-License-Identifier: Apache-2.0
#pragma once
// The tables of `assay formats`, as JSON and as text. Values come from golden's decode, so what is
// printed is what the format's row says, not what a fast codec makes of it.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/presets.h"

namespace assay::tools {

using Json = nlohmann::ordered_json;

/// Parameters, landmarks and, for formats of at most 8 bits, every code.
Json describe(const formats::FormatSpec& spec);
/// Shape, scale rule and the operation order, step by step.
Json describe(const formats::BlockFormat& format);
/// Bytes, fields and quantizer of one of GGML's blocks.
Json describe(const formats::PackedBlock& block);
/// A short name and what it stands for.
Json describe(const formats::BlockFormatAlias& alias);
/// One policy per destination format.
Json describe(const formats::Profile& profile);

/// What describe() gave, for people.
std::string format_text(const Json& format);
std::string block_format_text(const Json& block_format);
std::string packed_block_text(const Json& packed_block);
std::string profile_text(const Json& profile);

/// A row for each scale rule: the first block format that has it, for each element format; and the
/// members of such a row.
Json describe_rules();
std::vector<std::string> rule_columns();

/// Everything: {"formats": [...], "block_formats": [...], "scale_rules": [...],
/// "short_names": [...], "packed_blocks": [...], "profiles": [...]}, and its tables.
Json describe_all();
std::string overview_text(const Json& all);

}  // namespace assay::tools
