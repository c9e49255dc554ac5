// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside the fast exact GEMM: what an operand is taken apart into.
//
// Rows lie together in panels, 6 of A or 32 of B, and a tile of D is a panel of A by a panel of B.
// The last panel of A has fewer rows; the last of B is filled up with zeros.

#include <array>
#include <cstdint>
#include <new>
#include <vector>

#include "formats/tensor.h"
#include "golden/exact_gemm.h"

namespace assay::golden::exact_parts {

constexpr int a_rows = 6;
constexpr int b_rows = 32;
constexpr int tile_size = a_rows * b_rows;

/// Vectors of 64 bytes are loaded whole; what is resized is written by whoever resizes it.
template <class T>
struct Aligned {
  using value_type = T;
  Aligned() = default;
  template <class U>
  explicit Aligned(const Aligned<U>& /*other*/) {}
  T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64}));
  }
  template <class U>
  void construct(U* p) {
    ::new (static_cast<void*>(p)) U;
  }
  template <class U, class V>
  void construct(U* p, const V& value) {
    ::new (static_cast<void*>(p)) U(value);
  }
  void deallocate(T* p, std::size_t /*n*/) { ::operator delete (p, std::align_val_t{64}); }
  bool operator==(const Aligned& /*other*/) const { return true; }
};
template <class T>
using AlignedVector = std::vector<T, Aligned<T>>;

/// The proven range checks, named where they are proven: `product` in exact_gemm_pack_bytes.cpp,
/// the others in exact_gemm_tile.h.
struct Limits {
  std::uint32_t product = 32767;
  int bits64 = 63;
  int bits128 = 127;
  int total_digits = 62;
  int late_digit = 31;
  int digits = 124;
};

/// significand * 2^exponent; 0 * 2^0 for zero.
struct Number {
  enum class Kind : std::uint8_t { finite, infinity, nan };
  Kind kind = Kind::finite;
  bool negative = false;
  std::uint32_t significand = 0;
  int exponent = 0;
};

/// What `code` means in a format.
[[nodiscard]] Number read_number(const formats::FormatSpec& spec, std::uint32_t code);
/// Significant bits that a format's numbers have at most.
[[nodiscard]] int significand_bits(const formats::FormatSpec& spec);

/// A tensor's codes, read one by one.
class Reader {
 public:
  explicit Reader(const formats::BlockScaledTensor& tensor);
  [[nodiscard]] std::uint32_t code(std::int64_t row, std::int64_t k) const;
  [[nodiscard]] std::uint32_t scale_code(std::int64_t row, std::int64_t k) const {
    return scale_of_block(row, k / block_cols_);
  }
  /// Of the block-th block of the row.
  [[nodiscard]] std::uint32_t scale_of_block(std::int64_t row, std::int64_t block) const;
  /// Where a row's codes begin.
  [[nodiscard]] const std::uint8_t* row_codes(std::int64_t row) const {
    return t_.codes.data() + row * code_stride_;
  }
  [[nodiscard]] std::int64_t block_cols() const { return block_cols_; }

 private:
  const formats::BlockScaledTensor& t_;
  std::int64_t code_stride_, block_rows_, block_cols_, across_;
  std::size_t scale_bytes_;
};

enum class Kernel : std::uint8_t {
  bytes,  ///< E2M1 by E2M1: twice the values are bytes; scale factors multiply sums of groups
  words,  ///< anything else: 16-bit planes of the numbers
};

/// Of a row. The row's numbers are integers times 2^base, times `factor`.
struct RowRange {
  std::int32_t base = 0;
  /// The integers are below 2^bits in magnitude: of `bytes` the scale factors, of `words` the
  /// elements with what is folded into them. `bits_late` counts late scale factors as well.
  std::int32_t bits = 0;
  std::int32_t bits_late = 0;
  std::int32_t late_base = 0;  ///< late scale factors are integers times 2^late_base
  bool nan = false;            ///< a number is NaN
  bool infinite = false;       ///< a number is an infinity, or not to be told from one
  bool zero_factor = false;
  bool negative_factor = false;
  std::uint64_t factor = 1;  ///< odd: tensor scale times the scale factor of the whole row
  std::int32_t factor_exponent = 0;
};

struct Scale {
  std::uint32_t significand;
  std::int32_t exponent;
};

/// Planes of a chunk at most; a row that needs more goes the way of big integers.
constexpr int most_planes = 8;
constexpr int most_pairs = 64;  ///< of k in a chunk of words

/// Numbers of a chunk too small for plane 0, by plane: the pairs of k where any row of the part has
/// one, and of each pair two words for each row of the part.
struct LowList {
  std::array<std::uint16_t, most_planes + 1> first{};  ///< plane p: entries first[p] .. first[p+1]
  std::vector<std::uint8_t> pairs;
  std::array<std::uint64_t, most_planes> masks{};  ///< of a plane's pairs, pair 0 the lowest bit
  AlignedVector<std::uint32_t> values;
  [[nodiscard]] int count(int plane) const {
    return first[static_cast<std::size_t>(plane) + 1] - first[static_cast<std::size_t>(plane)];
  }
};

struct Panel {
  int rows = 0;  ///< stride of what follows
  // The largest of its rows' RowRange, and whether any is NaN or infinite.
  int bits = 0, bits_late = 0, bits_with_late = 0, factor_bits = 0;
  bool special = false;
  /// [row], B's filled up with zeros: base and factor as a double, 0 for a zero factor.
  AlignedVector<double> factors;
  /// bytes: [pair of groups][step of 4 k][row]: A plus 12, B signed. words: [chunk][pair of
  /// k][row].
  AlignedVector<std::uint32_t> values;
  // bytes
  AlignedVector<std::uint32_t> scale_pairs;  ///< [pair of groups][row], over the chunk's exponent
  AlignedVector<std::uint32_t> starts;       ///< [pair of groups][row], B: what sums begin with
  AlignedVector<Scale> scales;               ///< [group][row]; words: late ones, [chunk][row]
  std::vector<std::uint32_t> chunk_max;      ///< [chunk]: largest of scale_pairs
  // words
  std::vector<std::array<LowList, 2>> low;  ///< [chunk][part]: A one part, B two of 16 rows
  std::vector<std::uint8_t> planes;         ///< [chunk]: planes in use
  // both
  AlignedVector<std::int32_t> shifts;  ///< [chunk][row]: exponent of the chunk
};

struct Operand {
  ExactSide side = ExactSide::a;
  const formats::BlockFormat* format = nullptr;
  const formats::BlockFormat* other = nullptr;
  std::int64_t rows = 0, k = 0;
  Kernel kernel = Kernel::bytes;
  int group = 16;   ///< bytes: k that share scale factors
  int chunk = 256;  ///< k that are summed in 32 bits
  std::int64_t chunks = 0;
  std::int64_t pairs = 0;  ///< bytes: of groups, in all
  int plane_step = 0;      ///< words: exponents that a plane holds
  bool late = false;       ///< words: scale factors multiply the sums of chunks
  std::vector<RowRange> ranges;
  std::vector<Panel> panels;
  formats::BlockScaledTensor source;
};

/// A number of bits that no range check passes.
constexpr int out_of_range = 1 << 20;

}  // namespace assay::golden::exact_parts
