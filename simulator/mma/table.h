// SPDX-License-Identifier: Apache-2.0
#pragma once
// The matrix units whose arithmetic has been published, one row per instruction and set of input
// formats. A row stands for a model of every input format in it, and of every pair of two formats
// where the instruction takes mixed operands. No row: AMD CDNA3's FP16, BF16, XF32 and FP8, whose
// published model leaves open which exponent a zero takes; FP64, a chain of fused multiply-adds
// whose codes do not fit the 32 bits of an operand here.
//
// Sources, cited by letter:
//   X  Xie et al., MMA-Sim: Bit-Accurate Reference Model of Tensor Cores and Matrix Cores,
//      arXiv 2511.10909
//   M  microsoft/MMA-Sim, X's reference implementation (src/mmasim/mmasim/amd and arithmetic)
//   K  Khattak and Mikaitis, Accurate Models of NVIDIA Tensor Cores, arXiv 2512.07004, and the
//      vectors in their repository MATLAB-tensor-core

#include <array>
#include <span>

#include "simulator/mma/model.h"

namespace assay::simulator::mma_table {

/// An input as a name spells it.
struct Input {
  std::string_view name;
  const formats::FormatSpec* spec;
};

inline constexpr Input tf32[] = {{"tf32", &formats::tf32}};
inline constexpr Input f16[] = {{"f16", &formats::fp16}};
inline constexpr Input f16_bf16[] = {{"f16", &formats::fp16}, {"bf16", &formats::bf16}};
inline constexpr Input f8[] = {{"e4m3", &formats::e4m3}, {"e5m2", &formats::e5m2}};
inline constexpr Input f8f6f4[] = {{"e4m3", &formats::e4m3},
                                   {"e5m2", &formats::e5m2},
                                   {"e2m3", &formats::e2m3},
                                   {"e3m2", &formats::e3m2},
                                   {"e2m1", &formats::e2m1}};
inline constexpr Input mx[] = {{"mxe4m3", &formats::e4m3},
                               {"mxe5m2", &formats::e5m2},
                               {"mxe2m3", &formats::e2m3},
                               {"mxe3m2", &formats::e3m2},
                               {"mxe2m1", &formats::e2m1}};
inline constexpr Input mxfp4[] = {{"mxfp4", &formats::e2m1}};
inline constexpr Input nvfp4[] = {{"nvfp4", &formats::e2m1}};
inline constexpr Input nvfp4_32[] = {{"nvfp4_e8m0", &formats::e2m1}};
inline constexpr Input f32[] = {{"f32", &formats::fp32}};
inline constexpr Input bf16[] = {{"bf16", &formats::bf16}};

struct Row {
  std::string_view unit;  ///< UNIT.INSTRUCTION
  std::span<const Input> inputs;
  const formats::FormatSpec* d;
  int step, shortest_k, fraction_bits;
  Conversion conversion;
  int zero_exponent;
  Evidence evidence;
  std::string_view evidence_text;
  std::string_view source = "X, K";
  Arithmetic arithmetic = Arithmetic::fused;
  const formats::FormatSpec* scale = nullptr;
  int scale_block = 0;
  bool signed_underflow = true;
};

inline constexpr auto* fp32 = &formats::fp32;
inline constexpr auto* fp16 = &formats::fp16;
inline constexpr auto* e8m0 = &formats::e8m0;
inline constexpr auto* ue4m3 = &formats::ue4m3;
using enum Conversion;
using enum Evidence;
using enum Arithmetic;

inline constexpr std::string_view v100 = "K's V100 vectors";
inline constexpr std::string_view a100 = "K's A100 and A2 vectors";
inline constexpr std::string_view ada = "K's RTX Ada and L40S vectors";
/// What `assay probe` found: 2 * 10^8 outputs of each instruction and seed, no mismatch.
inline constexpr std::string_view h200 =
    "NVIDIA H200, docs/evidence/probe-h200.md; K's H100 and H200 vectors";
inline constexpr std::string_view b200 = "K's B200 vectors";
inline constexpr std::string_view no_gpu = "not run on such a unit";

// clang-format off
inline constexpr Row rows[] = {
  // unit             inputs    D     L   k   F  conversion  zero  evidence
  {"volta.mma",       f16,      fp32, 4,  4,  23, rz_fp32,   -131, captured,  v100},
  {"volta.mma",       f16,      fp16, 4,  4,  23, rne_fp16,  -20,  captured,  v100},
  {"turing.mma",      f16,      fp32, 8,  8,  24, rz_fp32,   -132, published, no_gpu},
  {"turing.mma",      f16,      fp16, 8,  8,  24, rne_fp16,  -21,  published, no_gpu},
  {"ampere.mma",      tf32,     fp32, 4,  4,  24, rz_fp32,   -132, captured,  a100},
  {"ampere.mma",      f16_bf16, fp32, 8,  8,  24, rz_fp32,   -132, captured,  a100},
  {"ampere.mma",      f16,      fp16, 8,  8,  24, rne_fp16,  -21,  captured,  a100},
  {"ada.mma",         tf32,     fp32, 4,  4,  24, rz_fp32,   -132, captured,  ada},
  {"ada.mma",         f16_bf16, fp32, 8,  8,  24, rz_fp32,   -132, captured,  ada},
  {"ada.mma",         f16,      fp16, 8,  8,  24, rne_fp16,  -21,  captured,  ada},
  {"ada.mma",         f8,       fp32, 16, 16, 13, rz_e8m13,  -132, captured,  ada},
  {"ada.mma",         f8,       fp16, 16, 16, 13, rne_fp16,  -21,  captured,  ada},
  {"hopper.mma",      tf32,     fp32, 8,  4,  25, rz_fp32,   -133, verified,  h200, "X, K", fused, nullptr, 0, false},
  {"hopper.mma",      f16_bf16, fp32, 16, 8,  25, rz_fp32,   -133, verified,  h200, "X, K", fused, nullptr, 0, false},
  {"hopper.mma",      f16,      fp16, 16, 8,  25, rne_fp16,  -21,  verified,  h200, "X, K", fused, nullptr, 0, false},
  {"hopper.mma",      f8,       fp32, 32, 32, 25, rz_fp32,   -133, verified,  h200, "this project", lowered, nullptr, 0, false},
  {"hopper.mma",      f8,       fp16, 32, 32, 25, rne_fp16,  -21,  verified,  h200, "this project", lowered, nullptr, 0, false},
  {"hopper.wgmma",    tf32,     fp32, 8,  8,  25, rz_fp32,   -133, verified,  h200, "X, K", fused, nullptr, 0, false},
  {"hopper.wgmma",    f16_bf16, fp32, 16, 16, 25, rz_fp32,   -133, verified,  h200, "X, K", fused, nullptr, 0, false},
  {"hopper.wgmma",    f16,      fp16, 16, 16, 25, rne_fp16,  -21,  verified,  h200, "X, K", fused, nullptr, 0, false},
  {"hopper.wgmma",    f8,       fp32, 32, 32, 13, rz_e8m13,  -133, verified,  h200, "X, K", fused, nullptr, 0, false},
  {"hopper.wgmma",    f8,       fp16, 32, 32, 13, rne_fp16,  -21,  verified,  h200, "X, K", fused, nullptr, 0, false},
  {"blackwell.mma",   tf32,     fp32, 8,  4,  25, rz_fp32,   -133, captured,  b200},
  {"blackwell.mma",   f16_bf16, fp32, 16, 8,  25, rz_fp32,   -133, captured,  b200},
  {"blackwell.mma",   f16,      fp16, 16, 8,  25, rne_fp16,  -22,  captured,  b200},
  {"blackwell.mma",   f8,       fp32, 32, 32, 25, rz_fp32,   -133, captured,  b200, "this project", lowered},
  {"blackwell.mma",   f8,       fp16, 32, 32, 25, rne_fp16,  -22,  captured,  b200, "this project", lowered},
  {"blackwell.tcgen05", tf32,     fp32, 8,  8,  25, rz_fp32,  -133, published, no_gpu},
  {"blackwell.tcgen05", f16_bf16, fp32, 16, 16, 25, rz_fp32,  -133, published, no_gpu},
  {"blackwell.tcgen05", f8f6f4,   fp32, 32, 32, 25, rz_fp32,  -133, published, no_gpu},
  {"blackwell.tcgen05", f16,      fp16, 16, 16, 25, rne_fp16, -133, published, no_gpu},
  {"blackwell.tcgen05", f8f6f4,   fp16, 32, 32, 25, rne_fp16, -133, published, no_gpu},
  {"blackwell.tcgen05", mx,       fp32, 32, 32, 25, rz_fp32,  -133, published, no_gpu, "X", fused, e8m0, 32},
  {"blackwell.tcgen05", mxfp4,    fp32, 64, 64, 35, rz_fp32,  -139, published, no_gpu, "X", grouped, e8m0, 32},
  {"blackwell.tcgen05", nvfp4,    fp32, 64, 64, 35, rz_fp32,  -139, published, no_gpu, "X", grouped, ue4m3, 16},
  {"blackwell.tcgen05", nvfp4_32, fp32, 64, 64, 35, rz_fp32,  -139, published, no_gpu, "X", grouped, e8m0, 16},
  {"sm120.mma",       tf32,     fp32, 8,  4,  25, rz_fp32,   -133, published, no_gpu},
  {"sm120.mma",       f16_bf16, fp32, 16, 8,  25, rz_fp32,   -133, published, no_gpu},
  {"sm120.mma",       f8f6f4,   fp32, 32, 32, 25, rz_fp32,   -133, published, no_gpu},
  {"sm120.mma",       f16,      fp16, 16, 8,  25, rne_fp16,  -22,  published, no_gpu},
  {"sm120.mma",       f8f6f4,   fp16, 32, 32, 25, rne_fp16,  -22,  published, no_gpu},
  {"sm120.mma",       mx,       fp32, 32, 32, 25, rz_fp32,   -133, published, no_gpu, "X", fused, e8m0, 32},
  {"sm120.mma",       mxfp4,    fp32, 64, 64, 35, rz_fp32,   -139, published, no_gpu, "X", grouped, e8m0, 32},
  {"sm120.mma",       nvfp4,    fp32, 64, 64, 35, rz_fp32,   -139, published, no_gpu, "X", grouped, ue4m3, 16},
  {"cdna1.mfma",      f32,      fp32, 1,  1,  0,  rne_fp32,  0,    published, no_gpu, "X", rounded},
  {"cdna1.mfma",      f16,      fp32, 4,  4,  0,  rne_fp32,  0,    published, no_gpu, "X", rounded},
  {"cdna1.mfma",      bf16,     fp32, 2,  2,  0,  rne_fp32,  0,    published, no_gpu, "X", rounded},
  {"cdna2.mfma",      f32,      fp32, 1,  1,  0,  rne_fp32,  0,    published, no_gpu, "X, M", rounded},
  {"cdna2.mfma",      f16,      fp32, 4,  4,  0,  rne_fp32,  0,    published, no_gpu, "X, M", flushed},
  {"cdna2.mfma",      bf16,     fp32, 2,  2,  0,  rne_fp32,  0,    published, no_gpu, "X, M", flushed},
  {"cdna2.mfma_1k",   bf16,     fp32, 4,  4,  0,  rne_fp32,  0,    published, no_gpu, "X, M", flushed},
  {"cdna3.mfma",      f32,      fp32, 1,  1,  0,  rne_fp32,  0,    published, no_gpu, "X, M", rounded},
};
// clang-format on

}  // namespace assay::simulator::mma_table
