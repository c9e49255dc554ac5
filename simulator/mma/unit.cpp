// SPDX-License-Identifier: Apache-2.0
#include "simulator/mma/unit.h"

namespace assay::simulator {
namespace {

UnitFormat format_of(const formats::FormatSpec& spec) {
  return {spec.mantissa_bits,
          spec.exponent_bits,
          spec.bias,
          spec.storage_shift,
          spec.specials == formats::Specials::ieee,
          spec.specials == formats::Specials::nan_all_ones};
}

}  // namespace

bool has_unit(const MmaModel& m) {
  return m.scale == nullptr && m.fraction_bits <= 40 && m.fraction_bits >= 1 &&
         (m.arithmetic == Arithmetic::fused || m.arithmetic == Arithmetic::lowered);
}

MmaUnit unit_of(const MmaModel& m) {
  MmaUnit u{};
  u.a = format_of(*m.a);
  u.b = format_of(*m.b);
  u.d = format_of(*m.d);
  u.step = m.step;
  u.fraction_bits = m.fraction_bits;
  u.zero_exponent = m.zero_exponent;
  u.kept_bits = m.conversion == Conversion::rz_e8m13 ? 13 : m.d->mantissa_bits;
  u.zero_is_floor = m.zero_rule == ZeroRule::floor;
  u.nearest = m.conversion == Conversion::rne_fp16;
  u.signed_underflow = m.signed_underflow;
  u.lowered = m.arithmetic == Arithmetic::lowered;
  return u;
}

}  // namespace assay::simulator
