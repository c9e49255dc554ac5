// SPDX-License-Identifier: Apache-2.0
// Any bytes: either one clear refusal, or entries that tile the data section and convert in full.
#include <set>
#include <vector>

#include "simulator/safetensors.h"
#include "tests/fuzz/require.h"

using namespace assay::simulator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  SafetensorsHeader header;
  try {
    header = parse_safetensors(file, "fuzz.safetensors");
  } catch (const InputError& error) {
    require_sentence(error.what());
    return 0;
  }
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | data[i];
  std::uint64_t cursor = 8 + length;
  std::set<std::string> names;
  for (const SafetensorsEntry& entry : header.entries) {
    require(names.insert(entry.name).second, "names are unique");
    require(entry.begin == cursor && entry.end >= entry.begin && entry.end <= size,
            "entries follow each other inside the file");
    cursor = entry.end;
    std::uint64_t elements = 1;  // cannot wrap: the reader refused shapes whose product does
    for (const std::int64_t extent : entry.shape) elements *= static_cast<std::uint64_t>(extent);
    const TensorView view{entry.dtype, entry.shape,
                          file.subspan(entry.begin, entry.end - entry.begin)};
    require(elements * static_cast<std::uint64_t>(info(entry.dtype).bits) == view.bytes.size() * 8,
            "shape, type and bytes agree");
    require(view.element_count() == elements, "elements are counted once");
    std::vector<float> values(elements);
    to_float(entry.dtype, view.bytes, 0, values);
  }
  require(cursor == size, "no byte is left over");
  return 0;
}
