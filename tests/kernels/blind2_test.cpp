// SPDX-License-Identifier: Apache-2.0
// Whether the faults of kernels/blind2 are real: each entry differs from the right kernel beside it
// on some call that its claim takes, and agrees on another. Nothing of the catalogue runs here.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "kernels/abi/assay_dut.h"

namespace {

using Bytes = std::vector<std::uint8_t>;
using Floats = std::vector<float>;
constexpr std::uint32_t values = ASSAY_DUT_VALUES, scales = ASSAY_DUT_SCALES,
                        factor = ASSAY_DUT_TENSOR_SCALE;

struct Operand {
  assay_dut_tensor tensor{};
  Bytes bytes;
};

struct Case {
  std::uint32_t operation = 0;
  assay_dut_call call{};
  std::vector<Operand> in, out;

  Case(std::uint32_t op, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t groups = 1) {
    operation = op;
    call.size = sizeof call;
    call.operation = op;
    call.m = m, call.n = n, call.k = k, call.groups = groups;
    call.alpha = 1;
  }

  /// Rows of 4-bit codes start at a byte. `spare`: elements between rows.
  static Operand make(std::uint32_t role, std::uint32_t part, std::uint8_t type, int bits,
                      std::vector<std::int64_t> shape, std::int64_t spare = 0) {
    Operand o;
    assay_dut_tensor& t = o.tensor;
    t.role = role, t.part = part, t.type_code = type;
    t.type_bits = static_cast<std::uint8_t>(bits);
    t.type_lanes = bits == 4 ? 2 : 1;
    t.ndim = static_cast<std::int32_t>(shape.size());
    std::int64_t step = 1;
    for (int i = t.ndim - 1; i >= 0; --i) {
      t.shape[i] = shape[i];
      t.strides[i] = step;
      step *= shape[i];
      if (i == t.ndim - 1) step += spare + (bits == 4 ? step % 2 : 0);
    }
    o.bytes.assign((step * bits + 7) / 8, 0);
    return o;
  }
  Case& input(Operand o, const void* from) {
    if (!o.bytes.empty()) std::memcpy(o.bytes.data(), from, o.bytes.size());
    in.push_back(std::move(o));
    return *this;
  }
  Case& floats(std::uint32_t role, std::vector<std::int64_t> shape, const Floats& x,
               std::uint32_t part = values) {
    return input(make(role, part, ASSAY_DUT_FLOAT, 32, std::move(shape)), x.data());
  }
  Case& bf16(std::uint32_t role, std::vector<std::int64_t> shape, const Floats& x) {
    std::vector<std::uint16_t> codes;
    for (const float v : x) codes.push_back(std::bit_cast<std::uint32_t>(v) >> 16);
    return input(make(role, values, ASSAY_DUT_BFLOAT, 16, std::move(shape)), codes.data());
  }
  Case& longs(std::uint32_t role, const std::vector<std::int64_t>& x) {
    return input(make(role, values, ASSAY_DUT_INT, 64, {static_cast<std::int64_t>(x.size())}),
                 x.data());
  }
  Case& words(std::uint32_t role, std::vector<std::int64_t> shape,
              const std::vector<std::uint32_t>& x) {
    return input(make(role, values, ASSAY_DUT_UINT, 32, std::move(shape)), x.data());
  }
  /// Codes, a byte for each pair; `pair` makes them.
  Case& codes(std::uint32_t role, std::vector<std::int64_t> shape,
              const std::function<std::uint8_t(std::size_t)>& pair) {
    Operand o = make(role, values, ASSAY_DUT_FLOAT4_E2M1FN, 4, std::move(shape));
    for (std::size_t i = 0; i < o.bytes.size(); ++i) o.bytes[i] = pair(i);
    in.push_back(std::move(o));
    return *this;
  }
  static void swizzle(Operand& o) {
    o.tensor.layout = ASSAY_DUT_SCALES_128X4;
    o.bytes.assign((o.tensor.shape[0] + 127) / 128 * ((o.tensor.shape[1] + 3) / 4) * 512, 0);
  }
  Case& scale_codes(std::uint32_t role, std::vector<std::int64_t> shape,
                    const std::function<std::uint8_t(std::size_t)>& code, bool swizzled = false) {
    Operand o = make(role, scales, ASSAY_DUT_UINT, 8, std::move(shape));
    if (swizzled) swizzle(o);
    for (std::size_t i = 0; i < o.bytes.size(); ++i) o.bytes[i] = code(i);
    in.push_back(std::move(o));
    return *this;
  }
  Case& output(Operand o) {
    out.push_back(std::move(o));
    return *this;
  }
  Case& float_output(std::uint32_t role, std::vector<std::int64_t> shape) {
    return output(make(role, values, ASSAY_DUT_FLOAT, 32, std::move(shape)));
  }
  /// Codes, scale factors and, where there is one, the tensor scale.
  Case& quantized_output(std::uint32_t role, std::int64_t rows, std::int64_t cols,
                         std::int64_t block, bool tensor_scale, bool swizzled = false) {
    output(make(role, values, ASSAY_DUT_FLOAT4_E2M1FN, 4, {rows, cols}));
    output(make(role, scales, ASSAY_DUT_UINT, 8, {rows, (cols + block - 1) / block}));
    if (swizzled) swizzle(out.back());
    if (tensor_scale) output(make(role, factor, ASSAY_DUT_FLOAT, 32, {1}));
    return *this;
  }
};

const assay_dut_api& api() {
  static const assay_dut_api* loaded = [] {
    void* library = dlopen(ASSAY_BLIND2_MUTANTS, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto get =
        reinterpret_cast<assay_dut_get_api_function>(dlsym(library, "assay_dut_get_api"));
    return get(ASSAY_DUT_ABI_VERSION);
  }();
  return *loaded;
}

const std::map<std::string, int>& entries() {
  static const std::map<std::string, int> numbers = [] {
    std::map<std::string, int> out;
    for (int e = 0; e < api().entries; ++e) {
      assay_dut_claim claim{};
      claim.size = sizeof claim;
      EXPECT_EQ(api().describe(e, &claim), 0);
      EXPECT_TRUE(out.emplace(claim.name, e).second) << claim.name;
    }
    return out;
  }();
  return numbers;
}

/// The bytes of all outputs.
std::vector<Bytes> answers(const std::string& entry, const Case& given) {
  Case c = given;
  std::vector<assay_dut_tensor> in, out;
  for (Operand& o : c.in) {
    o.tensor.data = o.bytes.data();
    o.tensor.bytes = o.bytes.size();
    in.push_back(o.tensor);
  }
  for (Operand& o : c.out) {
    std::fill(o.bytes.begin(), o.bytes.end(), 0xA5);
    o.tensor.data = o.bytes.data();
    o.tensor.bytes = o.bytes.size();
    out.push_back(o.tensor);
  }
  c.call.entry = entries().at(entry);
  c.call.in = in.data(), c.call.n_in = static_cast<std::uint32_t>(in.size());
  c.call.out = out.data(), c.call.n_out = static_cast<std::uint32_t>(out.size());
  EXPECT_EQ(api().run(&c.call), ASSAY_DUT_OK) << entry;
  std::vector<Bytes> bytes;
  for (std::size_t i = 0; i < c.in.size(); ++i) EXPECT_EQ(c.in[i].bytes, given.in[i].bytes);
  for (const Operand& o : c.out) bytes.push_back(o.bytes);
  return bytes;
}

Floats random_floats(std::int64_t count, float size = 1) {
  std::mt19937 engine(7);
  Floats x(count);
  for (float& v : x) v = (static_cast<float>(engine() >> 8) * 0x1p-23F - 1) * size;
  return x;
}
std::function<std::uint8_t(std::size_t)> random_bytes(unsigned low = 0, unsigned high = 255) {
  auto engine = std::make_shared<std::mt19937>(11);
  return
      [=](std::size_t) { return static_cast<std::uint8_t>(low + (*engine)() % (high - low + 1)); };
}
std::function<std::uint8_t(std::size_t)> all(unsigned code) {
  return [=](std::size_t) { return static_cast<std::uint8_t>(code); };
}

// ---- Calls -----------------------------------------------------------------------------------

Case quantize(std::int64_t m, std::int64_t k, const Floats& x, std::int64_t block, bool factors,
              bool swizzled = false) {
  Case c(ASSAY_DUT_QUANTIZE, m, 0, k);
  return c.floats(ASSAY_DUT_X, {m, k}, x)
      .quantized_output(ASSAY_DUT_Q, m, k, block, factors, swizzled);
}

Case dequantize(std::int64_t m, std::int64_t k, std::int64_t block, bool swizzled) {
  Case c(ASSAY_DUT_DEQUANTIZE, m, 0, k);
  c.codes(ASSAY_DUT_Q, {m, k}, random_bytes())
      .scale_codes(ASSAY_DUT_Q, {m, (k + block - 1) / block}, random_bytes(8, 120), swizzled);
  if (block == 16) c.floats(ASSAY_DUT_Q, {1}, {1.5F}, factor);
  return c.float_output(ASSAY_DUT_X, {m, k});
}

/// B of n rows, all of it random.
void add_b(Case& c, std::vector<std::int64_t> rows, std::int64_t k, std::int64_t block,
           const std::function<std::uint8_t(std::size_t)>& codes,
           const std::function<std::uint8_t(std::size_t)>& scale, const Floats& factors,
           std::uint32_t role = ASSAY_DUT_B) {
  std::vector<std::int64_t> shape = rows, blocks = rows;
  shape.push_back(k);
  blocks.push_back((k + block - 1) / block);
  c.codes(role, shape, codes).scale_codes(role, blocks, scale);
  if (block == 16) c.floats(role, {static_cast<std::int64_t>(factors.size())}, factors, factor);
}

Case mx_gemm(unsigned low, unsigned high) {
  Case c(ASSAY_DUT_GEMM, 4, 4, 256);
  add_b(c, {4}, 256, 32, random_bytes(), random_bytes(low, high), {}, ASSAY_DUT_A);
  add_b(c, {4}, 256, 32, random_bytes(), random_bytes(low, high), {});
  return c.float_output(ASSAY_DUT_D, {4, 4});
}

Case bf16_output(std::int64_t n) {
  Case c(ASSAY_DUT_GEMM, 3, n, 32);
  add_b(c, {3}, 32, 16, random_bytes(), all(0x38), {1}, ASSAY_DUT_A);
  add_b(c, {n}, 32, 16, random_bytes(), all(0x38), {1});
  return c.output(Case::make(ASSAY_DUT_D, values, ASSAY_DUT_BFLOAT, 16, {3, n}, 3));
}

Case w4a16(float special) {
  Case c(ASSAY_DUT_GEMM, 2, 2, 16);
  Floats a(32, 1);
  a[3] = special;
  add_b(c, {2}, 16, 16, all(0x02), all(0x38), {1});  // every odd weight is zero
  return c.bf16(ASSAY_DUT_A, {2, 16}, a).float_output(ASSAY_DUT_D, {2, 2});
}

Case fused(std::int64_t m, const Floats& a, std::int64_t block) {
  Case c(ASSAY_DUT_QUANTIZE_GEMM, m, 4, 64);
  add_b(c, {4}, 64, block, random_bytes(), all(block == 16 ? 0x38 : 127), {1});
  return c.floats(ASSAY_DUT_A, {m, 64}, a)
      .float_output(ASSAY_DUT_D, {m, 4})
      .quantized_output(ASSAY_DUT_Q, m, 64, block, block == 16);
}

Case clamped(float limit) {
  Case c(ASSAY_DUT_GATED_GEMM, 2, 2, 32);
  c.call.limit = limit;
  // Interleaved: even rows, of 16 bytes, are gates of ones, odd rows ups of minus ones.
  add_b(c, {4}, 32, 32, [](std::size_t i) { return i / 16 % 2 == 0 ? 0x22 : 0xAA; }, all(127), {});
  return c.bf16(ASSAY_DUT_A, {2, 32}, Floats(64, 1))
      .output(Case::make(ASSAY_DUT_D, values, ASSAY_DUT_BFLOAT, 16, {2, 2}));
}

Case gated(unsigned gates) {
  Case c(ASSAY_DUT_GATED_GEMM, 2, 2, 64);
  add_b(c, {2}, 64, 16, all(0x22), all(0x40), {1}, ASSAY_DUT_A);
  add_b(c, {4}, 64, 16, [=](std::size_t i) { return i < 64 ? gates : 0x22; }, all(0x40), {1});
  return c.float_output(ASSAY_DUT_D, {2, 2});
}

Case nv_groups(const std::vector<std::int64_t>& offsets) {
  Case c(ASSAY_DUT_GROUPED_GEMM, 4, 2, 32, 3);
  add_b(c, {4}, 32, 16, random_bytes(), all(0x38), {1}, ASSAY_DUT_A);
  add_b(c, {3, 2}, 32, 16, random_bytes(), all(0x38), {1, 2, 4});
  return c.longs(ASSAY_DUT_OFFSETS, offsets).float_output(ASSAY_DUT_D, {4, 2});
}

Case masked(const std::vector<std::int64_t>& counts) {
  Case c(ASSAY_DUT_GROUPED_GEMM, 4, 2, 32, 2);
  add_b(c, {2, 4}, 32, 32, random_bytes(), all(127), {}, ASSAY_DUT_A);
  add_b(c, {2, 2}, 32, 32, random_bytes(), all(127), {});
  return c.longs(ASSAY_DUT_COUNTS, counts).float_output(ASSAY_DUT_D, {2, 4, 2});
}

Case bf16_groups(const std::vector<std::int64_t>& offsets) {
  Case c(ASSAY_DUT_GROUPED_GEMM, 5, 2, 32, 2);
  add_b(c, {2, 2}, 32, 32, random_bytes(), all(127), {});
  return c.bf16(ASSAY_DUT_A, {5, 32}, random_floats(160))
      .longs(ASSAY_DUT_OFFSETS, offsets)
      .float_output(ASSAY_DUT_D, {5, 2});
}

Case forward(float bias) {
  Case c(ASSAY_DUT_QAT_FORWARD, 2, 2, 32);
  return c.floats(ASSAY_DUT_X, {2, 32}, Floats(64, 1))
      .floats(ASSAY_DUT_W, {2, 32}, Floats(64, 0))
      .floats(ASSAY_DUT_BIAS, {2}, {bias, 1})
      .float_output(ASSAY_DUT_Y, {2, 2});
}

/// Every scale is 0.5.
Case backward(std::uint32_t estimator, std::int64_t k, const Floats& w) {
  Case c(ASSAY_DUT_QAT_BACKWARD, 3, 2, k);
  c.call.estimator = estimator;
  const std::int64_t blocks = (k + 31) / 32;
  c.floats(ASSAY_DUT_X, {3, k}, random_floats(3 * k))
      .floats(ASSAY_DUT_W, {2, k}, w)
      .floats(ASSAY_DUT_GIVEN, {2, blocks}, Floats(2 * blocks, 0.5F))
      .floats(ASSAY_DUT_DY, {3, 2}, random_floats(6))
      .float_output(ASSAY_DUT_DX, {3, k})
      .float_output(ASSAY_DUT_DW, {2, k})
      .float_output(ASSAY_DUT_DBIAS, {2});
  if (estimator != ASSAY_DUT_DGE) c.float_output(ASSAY_DUT_DSCALE, {2, blocks});
  return c;
}

Case stochastic_words(bool halves_equal) {
  std::mt19937 engine(3);
  std::vector<std::uint32_t> words(4 * 64);
  for (std::uint32_t& word : words) {
    word = static_cast<std::uint32_t>(engine());
    if (halves_equal) word = (word & 0xFFFFU) * 0x10001U;
  }
  Case c(ASSAY_DUT_STOCHASTIC_QUANTIZE, 4, 0, 64);
  return c.floats(ASSAY_DUT_X, {4, 64}, random_floats(256))
      .words(ASSAY_DUT_RANDOM, {4, 64}, words)
      .quantized_output(ASSAY_DUT_Q, 4, 64, 16, true);
}

Case philox(std::int64_t m) {
  Case c(ASSAY_DUT_STOCHASTIC_QUANTIZE, m, 0, 64);
  c.call.seed = 42;
  return c.floats(ASSAY_DUT_X, {m, 64}, random_floats(m * 64))
      .quantized_output(ASSAY_DUT_Q, m, 64, 32, false);
}

Case transposed(bool codes) {
  Case c(ASSAY_DUT_TRANSPOSE_REQUANTIZE, 32, 0, 16);
  if (codes)
    add_b(c, {32}, 16, 16, random_bytes(), random_bytes(0x30, 0x48), {3}, ASSAY_DUT_Q);
  else
    c.floats(ASSAY_DUT_X, {32, 16}, random_floats(512));
  return c.quantized_output(ASSAY_DUT_QT, 16, 32, 16, true);
}

Case moved(std::int64_t m) {
  Case c(ASSAY_DUT_LAYOUT, m, 0, 4);
  return c.codes(ASSAY_DUT_Q, {m, 4}, all(0x22))
      .output(Case::make(ASSAY_DUT_QT, values, ASSAY_DUT_FLOAT4_E2M1FN, 4, {4, m}));
}

Case converted(const Floats& x) {
  const auto k = static_cast<std::int64_t>(x.size());
  Case c(ASSAY_DUT_CONVERT, 1, 0, k);
  return c.floats(ASSAY_DUT_X, {1, k}, x)
      .output(Case::make(ASSAY_DUT_Q, values, ASSAY_DUT_FLOAT8_E4M3FN, 8, {1, k}));
}

Floats absolute(Floats x) {
  for (float& v : x) v = std::abs(v);
  return x;
}
/// The largest of a block is a negative odd element.
Floats odd_negative(Floats x) {
  for (std::size_t i = 1; i < x.size(); i += 32) x[i] = -8;
  return x;
}
Floats rounded(Floats x) {
  for (float& v : x) v = std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & 0xFFFF0000U);
  return x;
}

struct Row {
  std::string id;
  std::vector<Case> shows;  ///< calls, one after the other, that show the fault
  std::vector<Case> hides;  ///< calls that do not
};

std::vector<Row> table() {
  const Floats x = random_floats(256);
  return {
      {"01",
       {quantize(4, 64, random_floats(256, 100), 16, true), quantize(4, 64, x, 16, true)},
       {quantize(2, 128, x, 16, true)}},
      {"02", {quantize(8, 32, x, 32, false, true)}, {quantize(2, 128, x, 32, false, true)}},
      {"03",
       {quantize(4, 64, odd_negative(x), 32, false)},
       {quantize(4, 64, absolute(x), 32, false)}},
      {"04", {dequantize(130, 80, 16, true)}, {dequantize(130, 64, 16, true)}},
      {"05", {dequantize(65536, 32, 32, false)}, {dequantize(65535, 32, 32, false)}},
      {"06", std::vector<Case>(4, mx_gemm(117, 137)), std::vector<Case>(4, mx_gemm(127, 127))},
      {"07", {bf16_output(5)}, {bf16_output(4)}},
      {"08", {w4a16(NAN), w4a16(INFINITY)}, {w4a16(2)}},
      {"09", {fused(4, x, 16)}, {fused(4, rounded(x), 16)}},
      {"10", {fused(1, x, 32)}, {fused(2, x, 32)}},
      {"11", {clamped(7)}, {clamped(0), clamped(40)}},
      {"12", {gated(0x22)}, {gated(0xAA)}},
      {"13", {nv_groups({0, 2, 2, 4})}, {nv_groups({0, 1, 2, 4}), nv_groups({0, 2, 4, 4})}},
      {"14", {masked({1, 3})}, {masked({4, 0})}},
      {"15", {bf16_groups({1, 2, 4})}, {bf16_groups({0, 2, 4})}},
      {"16", {forward(1.0001F)}, {forward(-0.5F)}},
      {"17",
       {backward(ASSAY_DUT_LSQ, 40, random_floats(80, 2))},
       {backward(ASSAY_DUT_LSQ, 64, random_floats(128, 2)),
        backward(ASSAY_DUT_PACT, 40, random_floats(80, 2))}},
      {"18",
       {backward(ASSAY_DUT_PACT, 32, random_floats(64, 9))},
       {backward(ASSAY_DUT_PACT, 32, absolute(random_floats(64, 9)))}},
      {"19",
       {backward(ASSAY_DUT_DGE, 32, Floats(64, 0.126F))},
       {backward(ASSAY_DUT_DGE, 32, Floats(64, 0.05F))}},
      {"20", {stochastic_words(false)}, {stochastic_words(true)}},
      {"21", {philox(4)}, {philox(1)}},
      {"22", {transposed(true)}, {transposed(false)}},
      {"23", {moved(3)}, {moved(4)}},
      {"24", {converted({0x1.001p-10F, -0x1.401p-8F})}, {converted({0x1p-10F, 0.0122F, 1.3F})}},
  };
}

std::string kernel_of(const nlohmann::json& truth, const std::string& name) {
  return "right." + truth.at("faults").at(name).at("kernel").get<std::string>();
}
nlohmann::json truth() { return nlohmann::json::parse(std::ifstream(ASSAY_BLIND2_TRUTH)); }

TEST(Blind2, EveryFaultIsOne) {
  const nlohmann::json said = truth();
  for (const Row& row : table()) {
    SCOPED_TRACE(row.id);
    const std::string wrong = "blind2." + row.id;
    const std::string right = kernel_of(said, wrong);
    for (const Case& c : row.hides) EXPECT_EQ(answers(wrong, c), answers(right, c));
    bool differs = false;
    for (const Case& c : row.shows) differs |= answers(wrong, c) != answers(right, c);
    EXPECT_TRUE(differs);
  }
}

TEST(Blind2, OrderOfPartsVaries) {
  std::set<std::vector<Bytes>> seen;
  for (int i = 0; i < 4; ++i) seen.insert(answers("blind2.06", mx_gemm(117, 137)));
  EXPECT_GT(seen.size(), 1U);
}

TEST(Blind2, TruthNamesEveryEntry) {
  const nlohmann::json said = truth();
  std::set<std::string> tested;
  for (const Row& row : table()) tested.insert("blind2." + row.id);
  for (const auto& [name, number] : entries())
    if (name.rfind("right.", 0) != 0) {
      EXPECT_TRUE(said.at("faults").contains(name)) << name;
    }
  for (const auto& [name, fault] : said.at("faults").items()) {
    EXPECT_TRUE(entries().contains(name)) << name;
    EXPECT_TRUE(entries().contains(kernel_of(said, name))) << name;
    EXPECT_TRUE(tested.contains(name)) << name;
    EXPECT_FALSE(fault.at("wrong").get<std::string>().empty());
  }
}

}  // namespace
