// SPDX-License-Identifier: Apache-2.0
#pragma once
// GGUF files, versions 2 and 3, little endian (https://github.com/ggml-org/ggml, gguf.md):
// magic, version, counts, metadata, tensor infos, padding, the tensors' bytes. The reader trusts
// nothing: counts, lengths, types, names, extents and offsets are checked before the first tensor
// byte is looked at.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/tensor.h"
#include "simulator/dtype.h"
#include "simulator/input_error.h"

namespace assay::simulator {

/// A number of `enum ggml_type`: elements per block, bytes per block, and what reads it. Types that
/// neither `dtype` nor `packed` reads can be listed only.
struct GgufType {
  std::uint32_t number;
  std::string_view name;
  int elements;
  int bytes;
  const DtypeInfo* dtype = nullptr;
  const formats::PackedBlock* packed = nullptr;
};

struct GgufTensor {
  std::string name;
  GgufType type;
  std::vector<std::int64_t> shape;  ///< outermost extent first, as in other formats
  std::uint64_t begin = 0;          ///< [begin, end) from the start of the FILE
  std::uint64_t end = 0;
};

struct GgufHeader {
  std::uint32_t version = 0;
  std::uint64_t alignment = 32;
  /// Numbers and strings as text, arrays as "[N]".
  std::map<std::string, std::string> metadata;
  std::vector<GgufTensor> tensors;  ///< in the order of their infos
};

/// Whether a file begins with GGUF's magic.
bool is_gguf(std::span<const std::byte> file);

/// Parses and checks a whole file held in memory; `file_name` is for the message. Guarantees:
/// names are unique; every tensor is aligned, lies inside the file, holds exactly its shape in
/// whole blocks along the innermost extent, and overlaps no other. Throws InputError.
GgufHeader parse_gguf(std::span<const std::byte> file, std::string_view file_name);

}  // namespace assay::simulator
