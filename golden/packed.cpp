// SPDX-License-Identifier: Apache-2.0
#include "golden/packed.h"

#include <stdexcept>

#include "golden/codec.h"

namespace assay::golden {
namespace {

using formats::PackedBlock;
using formats::PackedElement;
using formats::PackedField;
using formats::PackedOffset;
using formats::PackedScale;
using Bytes = std::span<const std::uint8_t>;

Value integer(std::int64_t n) { return Value::finite(Exact(n)); }

std::uint32_t field(const PackedField& f, Bytes bytes, int i) {
  if (f.bits == 0) return 0;
  const int per_byte = 8 / f.bits;
  const int group = i / (per_byte * f.run);
  const int j = i % (per_byte * f.run);
  const int byte = f.at + group * f.run + j % f.run;
  const int shift = f.bits * (j / f.run);
  return (bytes[static_cast<std::size_t>(byte)] >> shift) % (1U << f.bits);
}

/// The little-endian code of a format that starts at byte `at`.
Value number(const formats::FormatSpec& spec, Bytes bytes, int at) {
  std::uint32_t code = 0;
  for (int i = 0; i < spec.storage_bits / 8; ++i)
    code += std::uint32_t{bytes[static_cast<std::size_t>(at + i)]} << (8 * i);
  return decode(spec, code);
}

struct SixBits {
  int scale;
  int offset;
};
SixBits six_bits(const PackedBlock& block, Bytes bytes, int j) {
  const auto b = [&](int k) {
    return int{bytes[static_cast<std::size_t>(block.sub_scales_at + k)]};
  };
  if (j < 4) return {b(j) % 64, b(j + 4) % 64};
  return {b(j + 4) % 16 + b(j - 4) / 64 * 16, b(j + 4) / 16 + b(j) / 64 * 16};
}

Value element(const PackedBlock& block, std::uint32_t code) {
  const int bits = block.low.bits + block.high.bits;
  const std::int64_t half = std::int64_t{1} << (bits - 1);
  switch (block.element) {
    case PackedElement::e2m1:
      return decode(formats::e2m1, code);
    case PackedElement::offset_integer:
      return integer(std::int64_t{code} - half);
    case PackedElement::natural:
      return integer(code);
    case PackedElement::twos_complement:
      return integer(code < half ? std::int64_t{code} : std::int64_t{code} - 2 * half);
  }
  throw std::invalid_argument("unknown packed element");
}

Value scale(const PackedBlock& block, Bytes bytes, int sub_block) {
  const int width = block.scale->storage_bits / 8;
  switch (block.scale_kind) {
    case PackedScale::own:
      return number(*block.scale, bytes, block.scale_at + sub_block * width);
    case PackedScale::shared:
      return number(*block.scale, bytes, block.scale_at);
    case PackedScale::six_bits:
      return number(*block.scale, bytes, block.scale_at) *
             integer(six_bits(block, bytes, sub_block).scale);
    case PackedScale::int8: {
      const int byte = bytes[static_cast<std::size_t>(block.sub_scales_at + sub_block)];
      return number(*block.scale, bytes, block.scale_at) * integer(byte < 128 ? byte : byte - 256);
    }
  }
  throw std::invalid_argument("unknown packed scale");
}

}  // namespace

std::uint32_t packed_code(const PackedBlock& block, Bytes bytes, int i) {
  return field(block.low, bytes, i) + (field(block.high, bytes, i) << block.low.bits);
}

Value packed_value(const PackedBlock& block, Bytes bytes, int i) {
  const int sub_block = i / block.sub_block;
  const Value product =
      scale(block, bytes, sub_block) * element(block, packed_code(block, bytes, i));
  if (block.offset_kind == PackedOffset::none) return product;
  const Value offset = number(formats::fp16, bytes, block.offset_at);
  if (block.offset_kind == PackedOffset::added) return product + offset;
  return product + -(offset * integer(six_bits(block, bytes, sub_block).offset));
}

}  // namespace assay::golden
