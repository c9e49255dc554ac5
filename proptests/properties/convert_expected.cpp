// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/convert_expected.h"

#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "golden/codec.h"

namespace assay::proptests {
namespace {

using Conversion = std::tuple<const formats::FormatSpec*, const formats::FormatSpec*,
                              formats::RoundingMode, const formats::Profile*>;

struct Table {
  std::once_flag once;
  std::vector<std::uint16_t> codes;
};

Table& table_of(const kernels::Claim& claim) {
  static std::mutex mutex;
  static std::map<Conversion, std::unique_ptr<Table>> tables;
  const std::lock_guard lock(mutex);
  std::unique_ptr<Table>& table = tables[{claim.code, claim.output, claim.rounding, claim.profile}];
  if (table == nullptr) table = std::make_unique<Table>();
  return *table;
}

}  // namespace

std::uint32_t converted(const kernels::Claim& claim, std::uint32_t bits) {
  return golden::encode(*claim.code, golden::decode(*claim.output, bits), claim.rounding,
                        golden::policy_of(*claim.profile, *claim.code));
}

const std::vector<std::uint16_t>& all_converted(const kernels::Claim& claim) {
  Table& table = table_of(claim);
  std::call_once(table.once, [&] {
    table.codes.resize(0x10000);
    for (std::uint32_t bits = 0; bits < table.codes.size(); ++bits)
      table.codes[bits] = static_cast<std::uint16_t>(converted(claim, bits));
  });
  return table.codes;
}

}  // namespace assay::proptests
