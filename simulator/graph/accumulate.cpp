// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/accumulate.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/block.h"
#include "formats/codec.h"
#include "formats/layout.h"
#include "simulator/fake_quantize.h"
#include "simulator/hadamard.h"
#include "simulator/input_error.h"
#include "simulator/mma/dot.h"
#include "simulator/mma/fast.h"

namespace assay::simulator {
namespace {

std::vector<float> narrow(const Matrix& x) {
  std::vector<float> out(static_cast<std::size_t>(x.size()));
  std::transform(x.data(), x.data() + x.size(), out.begin(),
                 [](double v) { return static_cast<float>(v); });
  return out;
}

/// The unit that an accumulator stands for with elements of these formats.
MmaModel model_of(const UnitOperand& x, const UnitOperand& w, const AccumulatorModel& a) {
  if (a.kind != "truncating") {
    MmaModel model = find_mma_model(a.kind);
    if (model.a != x.element || model.b != w.element) {
      throw InputError(fmt::format("accumulator {} multiplies {} by {}, not {} by {}.", a.kind,
                                   model.a->name, model.b->name, x.element->name, w.element->name));
    }
    return model;
  }
  if (x.element->storage_bits > 16 || w.element->storage_bits > 16) {
    throw InputError(
        fmt::format("a truncating accumulator takes elements of at most 16 bits, not {} by {}.",
                    x.element->name, w.element->name));
  }
  const bool bytes = x.element->storage_bits <= 8 && w.element->storage_bits <= 8;
  MmaModel model = find_mma_model(bytes ? "hopper.wgmma.e4m3.f32" : "hopper.wgmma.bf16.f32");
  model.a = x.element;
  model.b = w.element;
  model.fraction_bits = a.fraction_bits;
  model.conversion = a.fraction_bits <= 13 ? Conversion::rz_e8m13 : Conversion::rz_fp32;
  return model;
}

/// Columns [first, first + count) of the codes, rows of `padded`, zeros at the end.
std::vector<std::uint32_t> chunk(const UnitOperand& o, std::int64_t first, std::int64_t count,
                                 std::int64_t padded) {
  std::vector<std::uint32_t> out(static_cast<std::size_t>(o.rows * padded), 0);
  for (std::int64_t r = 0; r < o.rows; ++r) {
    std::copy_n(o.codes.begin() + r * o.cols + first, count, out.begin() + r * padded);
  }
  return out;
}

/// Scale factors of a chunk for a unit that takes them, one to `block` elements.
std::vector<std::uint32_t> chunk_scales(const UnitOperand& o, std::int64_t first,
                                        std::int64_t count, std::int64_t padded, int block) {
  const std::int64_t each = padded / block;
  std::vector<std::uint32_t> out(static_cast<std::size_t>(o.rows * each), 0);
  for (std::int64_t r = 0; r < o.rows; ++r) {
    for (std::int64_t b = 0; b * block < count; ++b) {
      out[static_cast<std::size_t>(r * each + b)] = o.scale_code(r, first + b * block);
    }
  }
  return out;
}

/// The unit's accumulators behind columns [first, first + count), decoded.
std::vector<double> unit_sums(const MmaModel& model, const UnitOperand& x, const UnitOperand& w,
                              std::int64_t first, std::int64_t count) {
  const std::int64_t padded = (count + model.step - 1) / model.step * model.step;
  const auto a = chunk(x, first, count, padded);
  const auto b = chunk(w, first, count, padded);
  std::vector<std::uint32_t> sa;
  std::vector<std::uint32_t> sb;
  if (model.scale != nullptr) {
    sa = chunk_scales(x, first, count, padded, model.scale_block);
    sb = chunk_scales(w, first, count, padded, model.scale_block);
  }
  std::vector<std::uint32_t> d(static_cast<std::size_t>(x.rows * w.rows));
  if (has_fast_mma(model)) {
    mma_gemm(model, unpack_mma(model, Side::a, x.rows, padded, a, sa),
             unpack_mma(model, Side::b, w.rows, padded, b, sb), {}, d);
  } else {
    const auto k = static_cast<std::size_t>(padded);
    const std::size_t s =
        model.scale != nullptr ? k / static_cast<std::size_t>(model.scale_block) : 0;
    for (std::size_t i = 0; i < d.size(); ++i) {
      const std::size_t row = i / static_cast<std::size_t>(w.rows);
      const std::size_t col = i % static_cast<std::size_t>(w.rows);
      const auto part = [](const std::vector<std::uint32_t>& v, std::size_t at, std::size_t n) {
        return std::span<const std::uint32_t>(v).subspan(at * n, n);
      };
      d[i] = dot(model, {.a = part(a, row, k),
                         .b = part(b, col, k),
                         .scale_a = part(sa, row, s),
                         .scale_b = part(sb, col, s)});
    }
  }
  std::vector<double> sums(d.size());
  std::transform(d.begin(), d.end(), sums.begin(),
                 [&](std::uint32_t c) { return formats::decode(*model.d, c); });
  return sums;
}

Matrix fp32_chain(const Matrix& x, const Matrix& w) {
  const Matrix wt = w.transpose();
  Matrix y(x.rows(), w.rows());
  std::vector<float> s(static_cast<std::size_t>(w.rows()));
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    std::fill(s.begin(), s.end(), 0.0F);
    for (std::int64_t k = 0; k < x.cols(); ++k) {
      const double v = x(r, k);
      const double* row = wt.data() + k * wt.cols();
      for (std::size_t n = 0; n < s.size(); ++n) {
        s[n] = static_cast<float>(static_cast<double>(s[n]) + v * row[n]);
      }
    }
    for (std::size_t n = 0; n < s.size(); ++n) y(r, static_cast<std::int64_t>(n)) = s[n];
  }
  return y;
}

void require_scales(const MmaModel& model, const UnitOperand& o) {
  if (o.scale == model.scale && o.block.cols == model.scale_block) return;
  throw InputError(fmt::format(
      "accumulator {} takes scale factors in {}, one to {} elements along k, which an operand of "
      "{} does not have.",
      model.name, model.scale->name, model.scale_block, o.element->name));
}

/// Where s takes the unit's accumulator over, ascending; the last is k.
std::vector<std::int64_t> boundaries(const UnitOperand& x, const UnitOperand& w, int promotion,
                                     bool scaled_unit) {
  std::vector<std::int64_t> ends;
  for (std::int64_t k = 1; k <= x.cols; ++k) {
    bool end = k == x.cols || (promotion > 0 && k % promotion == 0);
    if (!scaled_unit) {
      for (const UnitOperand* o : {&x, &w})
        end = end || (o->block.cols > 0 && k % o->block.cols == 0);
    }
    if (end) ends.push_back(k);
  }
  return ends;
}

}  // namespace

std::uint32_t UnitOperand::scale_code(std::int64_t row, std::int64_t col) const {
  const std::int64_t across = (cols + block.cols - 1) / block.cols;
  return scales[static_cast<std::size_t>(row / block.rows * across + col / block.cols)];
}

double UnitOperand::factor(std::int64_t row, std::int64_t col) const {
  return scale == nullptr ? 1.0 : formats::decode(*scale, scale_code(row, col));
}

UnitOperand unit_operand(const Matrix& x, const OperandFormat& recipe_format, std::uint64_t seed) {
  std::vector<float> values = narrow(x);
  UnitOperand o;
  o.rows = x.rows();
  o.cols = x.cols();
  o.values = fake_quantize(values, x.rows(), x.cols(), recipe_format, seed).values;
  OperandFormat format = recipe_format;
  Matrix coded = o.values;  // what a cast's codes say
  if (format.hadamard > 0) {
    hadamard(values, x.rows(), x.cols(), format);
    o.hadamard = format.hadamard;
    o.random_signs = format.random_signs;
  }
  format.hadamard = 0;
  if (o.hadamard > 0 && !format.block) {
    coded = fake_quantize(values, x.rows(), x.cols(), format, seed).values;
  }
  o.codes.resize(values.size());
  if (!format.block) {
    o.element = format.element;
    const auto& policy = formats::profile_row(formats::saturating, *o.element).policy;
    for (std::size_t i = 0; i < values.size(); ++i) {
      // What fake_quantize() made is a value of the format: its code is found without rounding.
      o.codes[i] = formats::encode(*o.element, static_cast<float>(coded.data()[i]),
                                   formats::RoundingMode::nearest_even, policy, {});
    }
    return o;
  }
  formats::BlockScaledTensor t = quantize_operand(values, x.rows(), x.cols(), format, seed);
  if (format.reencode) {
    // The first quantizer's values are FP32 numbers (fake_quantize.cpp).
    const formats::BlockFormat& first = *t.format;
    const formats::BlockGrid grid = formats::block_grid(first.block, t.rows, t.cols);
    const int bits = first.element->storage_bits;
    const std::int64_t stride = formats::code_stride(t.rows, t.cols, bits, t.layout);
    std::vector<float> dequantized(values.size());
    for (std::int64_t r = 0; r < t.rows; ++r) {
      for (std::int64_t c = 0; c < t.cols; ++c) {
        const auto code = formats::load_code(t.codes.data() + r * stride, c, bits);
        const auto scale =
            formats::load_code(t.scales.data(), grid.block_of(r, c), first.scale->storage_bits);
        dequantized[static_cast<std::size_t>(r * t.cols + c)] = static_cast<float>(
            formats::decode(*first.element, code) *
            (static_cast<double>(formats::decode(*first.scale, scale)) * t.tensor_scale));
      }
    }
    t = formats::quantize(dequantized, x.rows(), x.cols(), *format.reencode);
  }
  const formats::BlockFormat& block = *t.format;
  const formats::BlockGrid grid = formats::block_grid(block.block, t.rows, t.cols);
  const int bits = block.element->storage_bits;
  const std::int64_t stride = formats::code_stride(t.rows, t.cols, bits, t.layout);
  o.element = block.element;
  o.block = {grid.block_rows, grid.block_cols};
  o.scale = block.scale;
  o.tensor_scale = t.tensor_scale;
  for (std::int64_t b = 0; b < grid.count(); ++b) {
    o.scales.push_back(formats::load_code(t.scales.data(), b, block.scale->storage_bits));
  }
  for (std::int64_t r = 0; r < t.rows; ++r) {
    for (std::int64_t c = 0; c < t.cols; ++c) {
      o.codes[static_cast<std::size_t>(r * t.cols + c)] =
          formats::load_code(t.codes.data() + r * stride, c, bits);
    }
  }
  return o;
}

Matrix unit_product(const UnitOperand& x, const UnitOperand& w, const AccumulatorModel& a) {
  if (a.kind == "fp32") return fp32_chain(x.values, w.values);
  if (x.hadamard != w.hadamard || x.random_signs != w.random_signs) {
    throw InputError(
        fmt::format("accumulator {} multiplies codes: both operands of a linear need the same "
                    "Hadamard transform, or none.",
                    a.kind));
  }
  const MmaModel model = model_of(x, w, a);
  const bool scaled = model.scale != nullptr;
  if (scaled) {
    require_scales(model, x);
    require_scales(model, w);
  }
  Matrix y = Matrix::Zero(x.rows, w.rows);
  const double tensor = x.tensor_scale * w.tensor_scale;
  std::int64_t first = 0;
  for (const std::int64_t end : boundaries(x, w, a.promotion, scaled)) {
    const auto p = unit_sums(model, x, w, first, end - first);
    for (std::int64_t r = 0; r < x.rows; ++r) {
      const double fx = scaled ? tensor : tensor * x.factor(r, first);
      for (std::int64_t n = 0; n < w.rows; ++n) {
        const double f = scaled ? fx : fx * w.factor(n, first);
        y(r, n) = static_cast<float>(y(r, n) + f * p[static_cast<std::size_t>(r * w.rows + n)]);
      }
    }
    first = end;
  }
  return y;
}

void round_to_format(Matrix& y, const OperandFormat& format) {
  if (format.element == nullptr) return;
  const auto& policy = formats::profile_row(formats::saturating, *format.element).policy;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const auto code = formats::encode(*format.element, static_cast<float>(y.data()[i]),
                                      formats::RoundingMode::nearest_even, policy, {});
    y.data()[i] = formats::decode(*format.element, code);
  }
}

}  // namespace assay::simulator
