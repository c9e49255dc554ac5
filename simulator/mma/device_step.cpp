// SPDX-License-Identifier: Apache-2.0
#include "simulator/mma/device_step.h"

namespace assay::simulator {

bool has_device_mma(const MmaModel& m) {
  if (m.a->storage_bits > 8 || m.b->storage_bits > 8) return false;
  if (m.arithmetic == Arithmetic::grouped) return m.step == device_grouped_chunk;
  return m.arithmetic == Arithmetic::fused && m.scale == nullptr && m.step >= 16 &&
         device_fused_chunk % m.step == 0 && m.fraction_bits <= 25 &&
         m.fraction_bits >= m.a->mantissa_bits + m.b->mantissa_bits;
}

DeviceMma device_mma_of(const MmaModel& m) {
  DeviceMma d;
  d.unit = unit_of(m);
  d.grouped = m.arithmetic == Arithmetic::grouped;
  d.wide = m.fraction_bits > 13;
  if (!d.grouped) return d;
  d.scale = {m.scale->mantissa_bits,
             m.scale->exponent_bits,
             m.scale->bias,
             m.scale->storage_shift,
             false,
             m.scale->specials == formats::Specials::nan_all_ones};
  d.scale_block = m.scale_block;
  d.left = m.fraction_bits - m.a->mantissa_bits - m.b->mantissa_bits - 2 * m.scale->mantissa_bits;
  return d;
}

}  // namespace assay::simulator
