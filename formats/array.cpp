// SPDX-License-Identifier: Apache-2.0
#include "formats/array.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "formats/array_chunks.h"
#include "formats/encode_params.h"
#include "formats/philox.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/array.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include "formats/encode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace assay::formats {
namespace HWY_NAMESPACE {

// `words`: one random word per element, or null for the deterministic modes.
enum class Kernel { deterministic, nearest, stochastic };

// `storage_shift`: of 32-bit formats; a constant zero in the others.
template <Shape shape, int storage_bits, Kernel kernel>
void EncodeChunk(const EncodeParams& p, const float* in, std::size_t count,
                 const std::uint32_t* words, std::uint8_t* out, int storage_shift = 0) {
  const hn::ScalableTag<std::int32_t> di;
  const hn::ScalableTag<float> df;
  const hn::RebindToUnsigned<decltype(di)> du;
  constexpr bool stochastic = kernel == Kernel::stochastic;
  const std::size_t lanes = hn::Lanes(di);
  const auto encode = [&](const float* from, const std::uint32_t* random) {
    const auto bits = hn::BitCast(di, hn::LoadU(df, from));
    if constexpr (stochastic) {
      const auto r = hn::BitCast(di, hn::LoadU(du, random));
      return EncodeStochasticVec<shape>(di, p, bits, r);
    } else {
      (void)random;
      if constexpr (kernel == Kernel::nearest) return EncodeNearestVec<shape>(di, p, bits);
      if constexpr (kernel == Kernel::deterministic) {
        constexpr bool has_sign = shape == Shape::is_signed || shape == Shape::twos_complement;
        if constexpr (has_sign) return EncodeVec<shape>(di, p, bits);
        if constexpr (!has_sign) return EncodeUnsignedVec<shape>(di, p, bits);
      }
    }
  };
  const auto codes = [&](const float* from, const std::uint32_t* random) {
    if constexpr (storage_bits != 32) return encode(from, random);
    return hn::ShiftLeftSame(encode(from, random), storage_shift);
  };
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    StoreCodes<storage_bits>(di, codes(in + i, stochastic ? words + i : nullptr), out, i);
  }
  if (i == count) return;
  HWY_ALIGN float tail[HWY_MAX_BYTES / 4] = {};
  HWY_ALIGN std::uint32_t tail_words[HWY_MAX_BYTES / 4] = {};
  HWY_ALIGN std::uint8_t tail_codes[HWY_MAX_BYTES] = {};
  const std::size_t rest = count - i;
  std::memcpy(tail, in + i, rest * sizeof(float));
  if constexpr (stochastic) std::memcpy(tail_words, words + i, rest * sizeof(std::uint32_t));
  StoreCodes<storage_bits>(di, codes(tail, tail_words), tail_codes, 0);
  std::memcpy(out + i * storage_bits / 8, tail_codes, (rest * storage_bits + 7) / 8);
}

template <Kernel kernel>
void EncodeSigned(const FormatSpec& spec, const EncodeParams& p, const float* in, std::size_t count,
                  const std::uint32_t* words, std::uint8_t* out) {
  if (spec.negatives == Negatives::twos_complement) {
    return EncodeChunk<Shape::twos_complement, 4, kernel>(p, in, count, words, out);
  }
  switch (spec.storage_bits) {
    case 4:
      return EncodeChunk<Shape::is_signed, 4, kernel>(p, in, count, words, out);
    case 8:
      return EncodeChunk<Shape::is_signed, 8, kernel>(p, in, count, words, out);
    case 16:
      return EncodeChunk<Shape::is_signed, 16, kernel>(p, in, count, words, out);
    default:
      return EncodeChunk<Shape::is_signed, 32, kernel>(p, in, count, words, out,
                                                       spec.storage_shift);
  }
}

template <Kernel kernel>
void EncodeAs(const FormatSpec& spec, const EncodeParams& p, const float* in, std::size_t count,
              const std::uint32_t* words, std::uint8_t* out) {
  if (spec.sign_bits != 0) return EncodeSigned<kernel>(spec, p, in, count, words, out);
  if (spec.subnormals) {
    return EncodeChunk<Shape::is_unsigned, 8, kernel>(p, in, count, words, out);
  }
  return EncodeChunk<Shape::zeroless, 8, kernel>(p, in, count, words, out);
}

void EncodeF32(const FormatSpec& spec, const EncodeParams& p, const float* in, std::size_t count,
               const std::uint32_t* words, std::uint8_t* out) {
  if (words != nullptr) return EncodeAs<Kernel::stochastic>(spec, p, in, count, words, out);
  if (p.plain_nearest) {
    return EncodeSigned<Kernel::nearest>(spec, p, in, count, nullptr, out);
  }
  EncodeAs<Kernel::deterministic>(spec, p, in, count, nullptr, out);
}

void PhiloxFill(std::uint64_t seed, std::uint64_t first_block, std::size_t blocks,
                std::uint32_t* out) {
  const auto key0 = static_cast<std::uint32_t>(seed);
  const auto key1 = static_cast<std::uint32_t>(seed >> 32);
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::uint64_t block = first_block + i;
    const PhiloxWords words = philox4x32_10(
        {{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0}}, key0,
        key1);
    std::memcpy(out + 4 * i, words.w, sizeof(words.w));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::formats
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::formats {

HWY_EXPORT(EncodeF32);
HWY_EXPORT(PhiloxFill);

namespace {

using detail::chunk;
using detail::for_each_chunk;
using detail::require_valid;

static_assert(std::all_of(all_formats.begin(), all_formats.end(), [](const FormatSpec* spec) {
  // The widths of the kernels for formats without a sign, and in two's complement.
  const bool byte = spec->storage_bits == 8;
  const bool nibble = spec->storage_bits == 4 || spec->negatives == Negatives::sign_bit;
  return array_codec_handles(fields_of(*spec)) &&
         (spec->sign_bits != 0 ? spec->subnormals && nibble : byte) &&
         (spec->storage_shift == 0 || spec->storage_bits == 32);
}));

EncodeParams params_of(const FormatSpec& spec, const ArrayOptions& options) {
  return encode_params(fields_of(spec), options.mode, options.policy, options.random_bits);
}

// `words`: random words of this chunk, or null.
void encode_with(const FormatSpec& spec, const EncodeParams& params, const float* in,
                 const std::uint32_t* words, std::size_t first, std::size_t count,
                 std::uint8_t* out) {
  // FP32 as destination rounds nothing: its stochastic mode is any other.
  if (params.shift == 0) words = nullptr;
  std::uint8_t* const to = out + first * static_cast<std::size_t>(spec.storage_bits) / 8;
  HWY_DYNAMIC_DISPATCH(EncodeF32)(spec, params, in, count, words, to);
}

// One chunk of FP32 values whose first element has logical index options.first_index + first.
void encode_chunk(const FormatSpec& spec, const EncodeParams& params, const ArrayOptions& options,
                  const float* in, std::size_t first, std::size_t count, std::uint8_t* out) {
  std::array<std::uint32_t, chunk> words;
  const bool stochastic = options.mode == RoundingMode::stochastic;
  if (stochastic) {
    philox_words(options.seed, options.first_index + first, std::span(words).first(count));
  }
  encode_with(spec, params, in, stochastic ? words.data() : nullptr, first, count, out);
}

}  // namespace

namespace detail {

void require_size(const FormatSpec& spec, std::size_t count, std::size_t bytes) {
  if (bytes != packed_size(spec, count)) {
    throw std::invalid_argument(fmt::format("{} {} codes take {} bytes, but the array has {}",
                                            count, spec.name, packed_size(spec, count), bytes));
  }
}

void require_valid(const FormatSpec& spec, const ArrayOptions& options, std::size_t count,
                   std::size_t bytes) {
  require_expressible(spec, options.policy);
  require_random_bits(options.mode, options.random_bits);
  require_size(spec, count, bytes);
}

}  // namespace detail

std::size_t packed_size(const FormatSpec& spec, std::size_t count) {
  const auto bits = static_cast<std::size_t>(spec.storage_bits);
  return bits == 4 ? count / 2 + count % 2 : count * (bits / 8);
}

void philox_words(std::uint64_t seed, std::uint64_t first_index, std::span<std::uint32_t> out) {
  std::size_t i = 0;
  for (; i < out.size() && (first_index + i) % 4 != 0; ++i)
    out[i] = philox_word(seed, first_index + i);
  const std::size_t blocks = (out.size() - i) / 4;
  HWY_DYNAMIC_DISPATCH(PhiloxFill)(seed, (first_index + i) / 4, blocks, out.data() + i);
  for (i += 4 * blocks; i < out.size(); ++i) out[i] = philox_word(seed, first_index + i);
}

void encode_array(const FormatSpec& spec, std::span<const float> in, const ArrayOptions& options,
                  std::span<std::uint8_t> out) {
  require_valid(spec, options, in.size(), out.size());
  const EncodeParams params = params_of(spec, options);
  for_each_chunk(in.size(), options.threads, [&](std::size_t first, std::size_t count) {
    encode_chunk(spec, params, options, in.data() + first, first, count, out.data());
  });
}

void encode_array(const FormatSpec& spec, std::span<const float> in,
                  std::span<const std::uint32_t> words, const ArrayOptions& options,
                  std::span<std::uint8_t> out) {
  require_valid(spec, options, in.size(), out.size());
  if (options.mode != RoundingMode::stochastic || words.size() != in.size()) {
    throw std::invalid_argument(
        fmt::format("random words go with stochastic rounding, one per element: {} words for {}",
                    words.size(), in.size()));
  }
  const EncodeParams params = params_of(spec, options);
  for_each_chunk(in.size(), options.threads, [&](std::size_t first, std::size_t count) {
    encode_with(spec, params, in.data() + first, words.data() + first, first, count, out.data());
  });
}

const char* simd_target() {
  const std::int64_t chosen = hwy::SupportedTargets() & HWY_TARGETS;
  return hwy::TargetName(chosen & -chosen);  // better targets have lower bits
}

void encode_array(const FormatSpec& spec, const FormatSpec& source,
                  std::span<const std::uint16_t> in, const ArrayOptions& options,
                  std::span<std::uint8_t> out) {
  require_valid(spec, options, in.size(), out.size());
  if (source.storage_bits != 16) {
    throw std::invalid_argument(
        fmt::format("16-bit sources are bf16 or fp16 codes, not {}", source.name));
  }
  const EncodeParams params = params_of(spec, options);
  const Fields fields = fields_of(source);
  for_each_chunk(in.size(), options.threads, [&](std::size_t first, std::size_t count) {
    std::array<float, chunk> wide;
    for (std::size_t i = 0; i < count; ++i) {
      wide[i] = __builtin_bit_cast(float, detail::decode_to_f32_bits(fields, in[first + i]));
    }
    encode_chunk(spec, params, options, wide.data(), first, count, out.data());
  });
}

}  // namespace assay::formats
#endif  // HWY_ONCE
