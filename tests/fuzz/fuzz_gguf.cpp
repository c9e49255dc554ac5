// SPDX-License-Identifier: Apache-2.0
// Any bytes: either one clear refusal, or tensors that lie apart inside the file and convert in
// full.
#include <algorithm>
#include <set>
#include <vector>

#include "formats/packed.h"
#include "simulator/gguf.h"
#include "tests/fuzz/require.h"

using namespace assay::simulator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  GgufHeader header;
  try {
    header = parse_gguf(file, "fuzz.gguf");
  } catch (const InputError& error) {
    require_sentence(error.what());
    return 0;
  }
  require(is_gguf(file), "an accepted file has the magic");
  require(header.version == 2 || header.version == 3, "an accepted file has a known version");
  std::set<std::string> names;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
  for (const GgufTensor& tensor : header.tensors) {
    require(names.insert(tensor.name).second, "names are unique");
    require(tensor.end >= tensor.begin && tensor.end <= size, "tensors lie inside the file");
    if (tensor.end != tensor.begin) places.emplace_back(tensor.begin, tensor.end);
    std::uint64_t elements = 1;  // cannot wrap: the reader refused shapes whose product does
    for (const std::int64_t extent : tensor.shape) elements *= static_cast<std::uint64_t>(extent);
    const auto bytes = file.subspan(tensor.begin, tensor.end - tensor.begin);
    require(elements / static_cast<std::uint64_t>(tensor.type.elements) *
                    static_cast<std::uint64_t>(tensor.type.bytes) ==
                bytes.size(),
            "shape, type and bytes agree");
    std::vector<float> values(bytes.empty() ? 0 : elements);
    if (tensor.type.dtype != nullptr) {
      to_float(tensor.type.dtype->dtype, bytes, 0, values);
    } else if (tensor.type.packed != nullptr) {
      const auto* raw = reinterpret_cast<const std::uint8_t*>(bytes.data());
      assay::formats::dequantize_packed(*tensor.type.packed, {raw, bytes.size()}, values);
    }
  }
  std::sort(places.begin(), places.end());
  for (std::size_t i = 1; i < places.size(); ++i)
    require(places[i].first >= places[i - 1].second, "tensors do not overlap");
  return 0;
}
