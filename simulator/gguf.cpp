// SPDX-License-Identifier: Apache-2.0
#include "simulator/gguf.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "formats/presets.h"
#include "simulator/shape.h"

namespace assay::simulator {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr int kMostExtents = 4;
constexpr int kDeepestArray = 4;

/// Block sizes of the types that no row of all_packed_blocks reads: sizeof(block_*) in
/// ggml-common.h.
struct SizeRow {
  std::uint32_t number;
  std::string_view name;
  int elements;
  int bytes;
};
constexpr SizeRow kListedOnly[] = {
    {9, "q8_1", 32, 36},      {10, "q2_k", 256, 84},    {11, "q3_k", 256, 110},
    {15, "q8_k", 256, 292},   {16, "iq2_xxs", 256, 66}, {17, "iq2_xs", 256, 74},
    {18, "iq3_xxs", 256, 98}, {19, "iq1_s", 256, 50},   {20, "iq4_nl", 32, 18},
    {21, "iq3_s", 256, 110},  {22, "iq2_s", 256, 82},   {23, "iq4_xs", 256, 136},
    {29, "iq1_m", 256, 56},   {34, "tq1_0", 256, 54},   {35, "tq2_0", 256, 66},
    {41, "q1_0", 128, 18},    {42, "q2_0", 64, 18},
};

struct DtypeRow {
  std::uint32_t number;
  Dtype dtype;
};
constexpr DtypeRow kDtypes[] = {{0, Dtype::f32},  {1, Dtype::f16},  {24, Dtype::i8},
                                {25, Dtype::i16}, {26, Dtype::i32}, {27, Dtype::i64},
                                {28, Dtype::f64}, {30, Dtype::bf16}};

std::optional<GgufType> find_type(std::uint32_t number) {
  for (const DtypeRow& row : kDtypes) {
    if (row.number != number) continue;
    const DtypeInfo& dtype = info(row.dtype);
    return GgufType{number, dtype.name, 1, dtype.bits / 8, &dtype, nullptr};
  }
  for (const formats::PackedBlock* block : formats::all_packed_blocks) {
    if (block->gguf_type == number)
      return GgufType{number, block->name, block->elements, block->bytes, nullptr, block};
  }
  for (const SizeRow& row : kListedOnly) {
    if (row.number == number) return GgufType{number, row.name, row.elements, row.bytes};
  }
  return std::nullopt;
}

/// Bytes of a metadata value of that type; 0 for strings and arrays; nothing for no type.
std::optional<std::size_t> value_bytes(std::uint32_t type) {
  constexpr std::size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  if (type >= std::size(kBytes)) return std::nullopt;
  return kBytes[type];
}
enum ValueType : std::uint32_t { kFloat32 = 6, kBool = 7, kString = 8, kArray = 9, kFloat64 = 12 };

class Parser {
 public:
  Parser(std::span<const std::byte> file, std::string_view name) : file_(file), name_(name) {}

  GgufHeader parse() {
    if (!is_gguf(file_)) fail("it does not begin with \"GGUF\"");
    at_ = kMagic.size();
    GgufHeader header;
    header.version = number<std::uint32_t>("the version");
    if (header.version == 0x02000000 || header.version == 0x03000000)
      fail("it is big endian; convert it to little endian");
    if (header.version != 2 && header.version != 3)
      fail("it has version " + std::to_string(header.version) + "; versions 2 and 3 can be read");
    const auto tensors = number<std::uint64_t>("the number of tensors");
    const auto entries = number<std::uint64_t>("the number of metadata entries");
    // The shortest entry has a length, a type and one byte; the shortest info a length, the number
    // of extents, a type and an offset.
    require_count(entries, 13, "metadata entries");
    for (std::uint64_t i = 0; i < entries; ++i) read_entry(header);
    require_count(tensors, 24, "tensors");
    for (std::uint64_t i = 0; i < tensors; ++i) read_info(header);
    place(header);
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw InputError(std::string(name_) + ": " + problem + ".");
  }

  [[nodiscard]] std::uint64_t left() const { return file_.size() - at_; }

  template <typename T>
  T number(const std::string& what) {
    if (left() < sizeof(T)) fail("it ends inside " + what + " (truncated?)");
    T value;
    std::memcpy(&value, file_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  void require_count(std::uint64_t count, std::uint64_t least, const std::string& what) const {
    if (count > left() / least)
      fail("it claims " + std::to_string(count) + " " + what + ", more than its " +
           std::to_string(file_.size()) + " bytes can hold");
  }

  std::string string(const std::string& what) {
    const auto length = number<std::uint64_t>(what);
    if (length > left())
      fail(what + " claims " + std::to_string(length) + " bytes, more than the file has");
    std::string text(reinterpret_cast<const char*>(file_.data()) + at_, length);
    at_ += length;
    return text;
  }

  /// A value as text. Elements of arrays are passed over.
  std::string value(std::uint32_t type, const std::string& where, int depth) {
    const std::optional<std::size_t> bytes = value_bytes(type);
    if (!bytes) fail(where + " has the unknown type " + std::to_string(type));
    if (type == kString) return string(where);
    if (type == kArray) return array(where, depth);
    std::uint64_t bits = 0;
    if (left() < *bytes) fail("it ends inside " + where + " (truncated?)");
    std::memcpy(&bits, file_.data() + at_, *bytes);
    at_ += *bytes;
    if (type == kBool && bits > 1) fail(where + " is a truth value of " + std::to_string(bits));
    if (type == kFloat32) {
      float x = 0;
      std::memcpy(&x, &bits, sizeof(x));
      return std::to_string(x);
    }
    if (type == kFloat64) {
      double x = 0;
      std::memcpy(&x, &bits, sizeof(x));
      return std::to_string(x);
    }
    const bool is_signed = type == 1 || type == 3 || type == 5 || type == 11;
    if (!is_signed) return std::to_string(bits);
    const auto shift = static_cast<int>(64 - 8 * *bytes);
    return std::to_string(static_cast<std::int64_t>(bits << shift) >> shift);
  }

  std::string array(const std::string& where, int depth) {
    if (depth >= kDeepestArray) fail(where + " nests arrays too deeply");
    const auto type = number<std::uint32_t>(where);
    const auto count = number<std::uint64_t>(where);
    const std::optional<std::size_t> bytes = value_bytes(type);
    if (!bytes) fail(where + " is an array of the unknown type " + std::to_string(type));
    require_count(count, *bytes == 0 ? 8 : *bytes, "elements in " + where);
    if (*bytes != 0) {
      at_ += count * *bytes;
    } else {
      for (std::uint64_t i = 0; i < count; ++i) (void)value(type, where, depth + 1);
    }
    return "[" + std::to_string(count) + "]";
  }

  void read_entry(GgufHeader& header) {
    const std::string key = string("a metadata key");
    const std::string where = "metadata \"" + key + "\"";
    const auto type = number<std::uint32_t>(where);
    const std::string text = value(type, where, 0);
    if (!header.metadata.emplace(key, text).second) fail(where + " is there twice");
    if (key != "general.alignment") return;
    if (type != 4) fail(where + " is not a 32-bit natural number");
    header.alignment = std::stoull(text);
    if (header.alignment == 0 || header.alignment % 8 != 0)
      fail(where + " is " + text + ", not a multiple of 8");
  }

  void read_info(GgufHeader& header) {
    GgufTensor tensor;
    tensor.name = string("a tensor's name");
    const std::string where = "tensor \"" + tensor.name + "\"";
    if (!names_.insert(tensor.name).second) fail(where + " is there twice");
    const auto extents = number<std::uint32_t>(where);
    if (extents > kMostExtents)
      fail(where + " has " + std::to_string(extents) + " extents; at most 4 are allowed");
    for (std::uint32_t i = 0; i < extents; ++i) {
      const auto extent = number<std::uint64_t>(where);
      if (extent > INT64_MAX) fail(where + " has an extent beyond 2^63");
      tensor.shape.insert(tensor.shape.begin(), static_cast<std::int64_t>(extent));
    }
    const auto number_of_type = number<std::uint32_t>(where);
    const std::optional<GgufType> type = find_type(number_of_type);
    if (!type)
      fail(where + " has the type " + std::to_string(number_of_type) + ", which is unknown");
    tensor.type = *type;
    tensor.begin = number<std::uint64_t>(where);

    const std::optional<std::uint64_t> count = element_count(tensor.shape);
    const std::int64_t inner = tensor.shape.empty() ? 1 : tensor.shape.back();
    const auto elements = static_cast<std::uint64_t>(type->elements);
    if (!count) fail(where + " has the shape " + shape_text(tensor.shape) + ", which is too large");
    if (inner % type->elements != 0)
      fail(where + " has rows of " + std::to_string(inner) + " elements, no whole " +
           std::string(type->name) + " blocks of " + std::to_string(elements));
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(*count / elements, static_cast<std::uint64_t>(type->bytes), &bytes))
      fail(where + " has the shape " + shape_text(tensor.shape) + ", which is too large");
    tensor.end = bytes;  // its length, until place() knows where the data begin
    header.tensors.push_back(std::move(tensor));
  }

  /// From offsets and lengths to positions in the file.
  void place(GgufHeader& header) const {
    const std::uint64_t padding = (header.alignment - at_ % header.alignment) % header.alignment;
    const std::uint64_t data = at_ + padding;
    std::vector<const GgufTensor*> order;
    for (GgufTensor& tensor : header.tensors) {
      const std::string where = "tensor \"" + tensor.name + "\"";
      const std::uint64_t length = tensor.end;
      if (tensor.begin % header.alignment != 0)
        fail(where + " lies at offset " + std::to_string(tensor.begin) +
             ", which is no multiple of the alignment " + std::to_string(header.alignment));
      if (data > file_.size() || tensor.begin > file_.size() - data ||
          length > file_.size() - data - tensor.begin)
        fail(where + " needs " + std::to_string(length) + " bytes at offset " +
             std::to_string(tensor.begin) + ", beyond the file's " + std::to_string(file_.size()) +
             " bytes (truncated?)");
      tensor.begin += data;
      tensor.end = tensor.begin + length;
      if (length != 0) order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(),
              [](const auto* a, const auto* b) { return a->begin < b->begin; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (order[i]->begin < order[i - 1]->end)
        fail("tensor \"" + order[i]->name + "\" overlaps tensor \"" + order[i - 1]->name + "\"");
    }
  }

  std::span<const std::byte> file_;
  std::string_view name_;
  std::uint64_t at_ = 0;
  std::set<std::string> names_;
};

}  // namespace

bool is_gguf(std::span<const std::byte> file) {
  return file.size() >= kMagic.size() &&
         std::memcmp(file.data(), kMagic.data(), kMagic.size()) == 0;
}

GgufHeader parse_gguf(std::span<const std::byte> file, std::string_view file_name) {
  return Parser(file, file_name).parse();
}

}  // namespace assay::simulator
