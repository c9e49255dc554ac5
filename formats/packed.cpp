// SPDX-License-Identifier: Apache-2.0
#include "formats/packed.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "formats/codec.h"
#include "formats/layout.h"
#include "formats/names.h"
#include "formats/parallel.h"
#include "formats/presets.h"

namespace assay::formats {
namespace {

double number(const FormatSpec& spec, const std::uint8_t* at) {
  return static_cast<double>(decode(spec, load_code(at, 0, spec.storage_bits)));
}

/// What each code stands for.
std::vector<double> element_values(const PackedBlock& block) {
  const int bits = block.low.bits + block.high.bits;
  const int count = 1 << bits;
  std::vector<double> values;
  for (int code = 0; code < count; ++code) {
    switch (block.element) {
      case PackedElement::e2m1:
        values.push_back(static_cast<double>(decode(e2m1, static_cast<std::uint32_t>(code))));
        break;
      case PackedElement::offset_integer:
        values.push_back(code - count / 2);
        break;
      case PackedElement::natural:
        values.push_back(code);
        break;
      case PackedElement::twos_complement:
        values.push_back(code < count / 2 ? code : code - count);
        break;
    }
  }
  return values;
}

/// Adds the fields of elements [first, first + count) to `codes`, shifted left by `up`.
void add_field(const PackedField& f, const std::uint8_t* bytes, int first, std::span<int> codes,
               int up) {
  if (f.bits == 0) return;
  const int span = 8 / f.bits * f.run;
  const int mask = (1 << f.bits) - 1;
  int i = first;
  for (int& code : codes) {
    const int j = i % span;
    const int byte = bytes[f.at + i / span * f.run + j % f.run];
    code |= (byte >> (f.bits * (j / f.run)) & mask) << up;
    ++i;
  }
}

/// The 6-bit integers of the eight sub-blocks: 16 bits of two rows each, see PackedBlock.
struct SixBits {
  std::array<double, 8> scales;
  std::array<double, 8> offsets;

  explicit SixBits(const std::uint8_t* b) {
    for (std::size_t j = 0; j < 4; ++j) {
      scales[j] = b[j] & 63U;
      offsets[j] = b[j + 4] & 63U;
      scales[j + 4] = (b[j + 8] & 15U) | (b[j] >> 6U) << 4U;
      offsets[j + 4] = b[j + 8] >> 4U | (b[j + 4] >> 6U) << 4U;
    }
  }
};

struct SubBlock {
  double scale;
  double offset;  ///< added
};

SubBlock sub_block(const PackedBlock& block, const std::uint8_t* bytes, int j) {
  const FormatSpec& spec = *block.scale;
  const bool own = block.scale_kind == PackedScale::own;
  SubBlock out{number(spec, bytes + block.scale_at + (own ? j * spec.storage_bits / 8 : 0)), 0};
  if (block.offset_kind != PackedOffset::none) out.offset = number(fp16, bytes + block.offset_at);
  if (block.scale_kind == PackedScale::int8) {
    out.scale *= static_cast<std::int8_t>(bytes[block.sub_scales_at + j]);
  } else if (block.scale_kind == PackedScale::six_bits) {
    const SixBits six(bytes + block.sub_scales_at);
    out.scale *= six.scales[static_cast<std::size_t>(j)];
    out.offset *= -six.offsets[static_cast<std::size_t>(j)];
  }
  return out;
}

}  // namespace

const PackedBlock& find_packed_block(std::string_view name) {
  std::array<std::string_view, all_packed_blocks.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    names[i] = all_packed_blocks[i]->name;
    if (names[i] == name) return *all_packed_blocks[i];
  }
  throw std::invalid_argument(unknown_name("packed block", name, names));
}

std::int64_t packed_block_bytes(const PackedBlock& block, std::int64_t elements) {
  if (elements < 0 || elements % block.elements != 0) {
    throw std::invalid_argument(std::string(block.name) + ": " + std::to_string(elements) +
                                " elements are no whole blocks of " +
                                std::to_string(block.elements));
  }
  return elements / block.elements * block.bytes;
}

// All of a value is exact in double. Without an offset: at most 11 + 7 bits of scale (an int8 has 7
// significant bits), 5 of the element and 24 of the factor. With one, which takes no factor: the
// scale has 17 bits and the element 5, the offset 17; both are multiples of 2^-24 (FP16's smallest
// subnormal) below 2^16 * 63 * 31 < 2^27, so their sum has at most 52 bits.
void dequantize_packed(const PackedBlock& block, std::span<const std::uint8_t> bytes,
                       std::span<float> out, float factor) {
  const std::int64_t needed = packed_block_bytes(block, static_cast<std::int64_t>(out.size()));
  if (static_cast<std::int64_t>(bytes.size()) != needed) {
    throw std::invalid_argument(std::string(block.name) + ": " + std::to_string(bytes.size()) +
                                " bytes given where " + std::to_string(out.size()) +
                                " elements take " + std::to_string(needed));
  }
  if (block.offset_kind != PackedOffset::none && factor != 1.0F) {
    throw std::invalid_argument(std::string(block.name) +
                                ": blocks with an offset take no factor of the tensor");
  }
  const std::vector<double> values = element_values(block);
  const auto blocks = static_cast<std::int64_t>(out.size()) / block.elements;
#pragma omp parallel for schedule(static) if (detail::worth_threads(std::ssize(out)))
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::uint8_t* from = bytes.data() + b * block.bytes;
    float* to = out.data() + b * block.elements;
    std::array<int, 64> codes;
    const std::span<int> part(codes.data(), static_cast<std::size_t>(block.sub_block));
    for (int first = 0; first < block.elements; first += block.sub_block) {
      const SubBlock s = sub_block(block, from, first / block.sub_block);
      const double scale = s.scale * static_cast<double>(factor);
      std::fill(part.begin(), part.end(), 0);
      add_field(block.low, from, first, part, 0);
      add_field(block.high, from, first, part, block.low.bits);
      for (const int code : part) {
        const double product = values[static_cast<std::size_t>(code)] * scale;
        *to++ = static_cast<float>(block.offset_kind == PackedOffset::none ? product
                                                                           : product + s.offset);
      }
    }
  }
}

}  // namespace assay::formats
