// SPDX-License-Identifier: Apache-2.0
// Numbers to codes: the library's scalar codec behind the C call.
#include <bit>
#include <string>

#include "formats/codec.h"
#include "formats/layout.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/rows.h"

namespace assay::kernels::cpu {
namespace {

using formats::FormatSpec;
using formats::RoundingMode;

formats::Unpacked unpack(const FormatSpec& source, std::uint32_t code) {
  if (&source == &formats::bf16) return formats::unpack_bf16(static_cast<std::uint16_t>(code));
  if (&source == &formats::fp16) return formats::unpack_fp16(static_cast<std::uint16_t>(code));
  return formats::unpack(std::bit_cast<float>(code));
}

Claim claim_of(const FormatSpec& code, const FormatSpec& source, RoundingMode rounding,
               const formats::Profile& profile) {
  Claim claim;
  claim.operation = "convert";
  claim.code = &code;
  claim.output = &source;
  claim.rounding = rounding;
  claim.profile = &profile;
  for (const std::string_view part : {std::string_view("convert"), source.name, code.name,
                                      formats::name_of(rounding), profile.name})
    claim.name.append(claim.name.empty() ? "" : ".").append(part);
  return claim;
}

}  // namespace

std::vector<Claim> convert_claims() {
  std::vector<Claim> claims;
  for (const FormatSpec* code :
       {&formats::e2m1, &formats::e4m3, &formats::ue4m3, &formats::e8m0, &formats::bf16})
    for (const FormatSpec* source : {&formats::fp32, &formats::bf16, &formats::fp16}) {
      if (source == code) continue;
      for (const formats::Profile* profile : formats::all_profiles)
        if (formats::profile_row_if_any(*profile, *code) != nullptr)
          claims.push_back(claim_of(*code, *source, RoundingMode::nearest_even, *profile));
      // How a mode treats overflow differs between the two project profiles only.
      for (const auto mode :
           {RoundingMode::nearest_away, RoundingMode::toward_zero, RoundingMode::toward_positive,
            RoundingMode::toward_negative, RoundingMode::to_odd})
        for (const formats::Profile* profile : {&formats::saturating, &formats::ieee})
          claims.push_back(claim_of(*code, *source, mode, *profile));
    }
  return claims;
}

Status convert(const Claim& claim, const assay_dut_call& call) {
  const assay_dut_tensor* x = abi::find(abi::inputs(call), ASSAY_DUT_X);
  const assay_dut_tensor* q = abi::find(abi::outputs(call), ASSAY_DUT_Q);
  if (x == nullptr || q == nullptr || !has_unit_rows(*x) || !has_unit_rows(*q))
    return Status::not_supported;
  const formats::Policy policy = formats::profile_row(*claim.profile, *claim.code).policy;
  const std::int64_t rows = row_count(*x);
  const std::int64_t cols = row_length(*x);
#pragma omp parallel for if (rows * cols > 65536)
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::uint8_t* from = row_bytes_of(*x, r).data();
    const std::span<std::uint8_t> to = row_bytes_of(*q, r);
    std::vector<std::uint8_t> codes(to.size());
    for (std::int64_t c = 0; c < cols; ++c) {
      const std::uint32_t bits = formats::load_code(from, c, claim.output->storage_bits);
      formats::store_code(
          codes.data(), c, claim.code->storage_bits,
          formats::encode(*claim.code, unpack(*claim.output, bits), claim.rounding, policy));
    }
    std::copy(codes.begin(), codes.end(), to.begin());
  }
  return Status::ok;
}

}  // namespace assay::kernels::cpu
