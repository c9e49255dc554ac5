// SPDX-License-Identifier: Apache-2.0
// codec_stream FORMAT MODE PROFILE: the shipped array codec for a program in another language.
// Reads requests "FIRST COUNT STEP", one a line, until the end of the input; answers each with the
// codes of the FP32 bit patterns FIRST, FIRST + STEP, ... (modulo 2^32), one unsigned integer each
// of 1, 2 or 4 bytes, little endian. Exit 4 for bad usage, with one sentence.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <span>
#include <stdexcept>
#include <vector>

#include "formats/array.h"
#include "formats/layout.h"
#include "formats/names.h"

namespace {

using namespace assay::formats;  // NOLINT(google-build-using-namespace)

// Formats of 4 bits one code to a byte, the others as they are packed.
std::vector<std::uint8_t> one_code_each(const FormatSpec& spec, std::vector<std::uint8_t> packed,
                                        std::size_t count) {
  if (spec.storage_bits != 4) return packed;
  std::vector<std::uint8_t> codes(count);
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = static_cast<std::uint8_t>(packed[i / 2] >> (4 * (i % 2)) & 0xF);
  }
  return codes;
}

void answer(const FormatSpec& spec, const ArrayOptions& options) {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::uint32_t step = 0;
  std::vector<float> in;
  while (std::cin >> first >> count >> step) {
    in.resize(count);
    for (std::uint32_t i = 0; i < count; ++i) in[i] = __builtin_bit_cast(float, first + i * step);
    std::vector<std::uint8_t> packed(packed_size(spec, count));
    encode_array(spec, std::span<const float>(in), options, packed);
    const auto codes = one_code_each(spec, std::move(packed), count);
    if (std::fwrite(codes.data(), 1, codes.size(), stdout) != codes.size() ||
        std::fflush(stdout) != 0) {
      throw std::runtime_error("the reader of the codes went away");
    }
  }
  if (!std::cin.eof()) throw std::invalid_argument("a request is FIRST COUNT STEP");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 4) throw std::invalid_argument("arguments: FORMAT MODE PROFILE");
    const FormatSpec& spec = find_format(argv[1]);
    answer(spec, {.mode = find_rounding_mode(argv[2]),
                  .policy = profile_row(find_profile(argv[3]), spec).policy});
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "codec_stream: %s\n", error.what());
    return 4;
  }
}
