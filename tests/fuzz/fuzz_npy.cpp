// SPDX-License-Identifier: Apache-2.0
// Any bytes: either one clear refusal, or a header whose data lies in the file exactly and whose
// canonical form reads back the same.
#include <cstring>
#include <vector>

#include "simulator/npy.h"
#include "tests/fuzz/require.h"

using namespace assay::simulator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  NpyHeader header;
  try {
    header = parse_npy(file, "fuzz.npy");
  } catch (const InputError& error) {
    require_sentence(error.what());
    return 0;
  }
  require(header.data_begin + header.data_bytes == size, "the data ends where the file ends");

  const std::string canonical = npy_header(header.dtype, header.shape);
  require(canonical.size() % 64 == 0, "the data is aligned");
  std::vector<std::byte> again(canonical.size() + header.data_bytes);
  std::memcpy(again.data(), canonical.data(), canonical.size());
  if (header.data_bytes > 0) {
    std::memcpy(again.data() + canonical.size(), data + header.data_begin, header.data_bytes);
  }
  const NpyHeader second = parse_npy(again, "again.npy");
  require(second.dtype == header.dtype && second.shape == header.shape &&
              second.data_bytes == header.data_bytes,
          "the canonical file holds the same array");
  require(second.data_begin == canonical.size(), "the canonical header is canonical");
  return 0;
}
