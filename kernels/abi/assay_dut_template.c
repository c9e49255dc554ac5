/* SPDX-License-Identifier: Apache-2.0 */
/* A whole plugin to copy: an MXFP4 quantizer and a GEMM of MXFP4 matrices, in plain C99.
 *
 *     cc -std=c99 -O2 -shared -fPIC -I ASSAY/include/assay assay_dut_template.c -o libmine.so -lm
 *     assay certify ./libmine.so
 *
 * Replace what stands in quantize() and gemm(), then say in describe() what your kernels compute.
 * As it stands both pass. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernels/abi/assay_dut.h"

/* ---- Operands ---------------------------------------------------------------------------- */

/* Null where the call has no such operand. */
static const assay_dut_tensor* find(const assay_dut_tensor* list, uint32_t count, uint32_t role,
                                    uint32_t part) {
  for (uint32_t i = 0; i < count; ++i)
    if (list[i].role == role && list[i].part == part) return &list[i];
  return NULL;
}
static const assay_dut_tensor* input(const assay_dut_call* call, uint32_t role, uint32_t part) {
  return find(call->in, call->n_in, role, part);
}
static const assay_dut_tensor* output(const assay_dut_call* call, uint32_t role, uint32_t part) {
  return find(call->out, call->n_out, role, part);
}
/* Row i of a matrix with elements of `bytes` bytes. Rows may be further apart than they are long:
 * both entries claim ASSAY_DUT_STRIDES. Of 4-bit codes a row has half as many bytes as strides. */
static void* row(const assay_dut_tensor* t, int64_t i, int64_t bytes) {
  return (uint8_t*)t->data + i * t->strides[0] * bytes;
}
static uint8_t* code_row(const assay_dut_tensor* t, int64_t i) {
  return (uint8_t*)t->data + i * t->strides[0] / 2;
}

/* ---- E2M1 and E8M0 (OCP Microscaling Formats v1.0, sections 5.3.3 and 5.4.1) ----------------- */

enum { block = 32 };

/* The nearest code, ties to the even one; beyond 6 it is 6. x is not a NaN. */
static uint8_t encode_e2m1(float x) {
  static const float midpoints[7] = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};
  const float magnitude = fabsf(x);
  uint8_t code = 0;
  /* A tie goes up exactly where the code above is even. */
  while (code < 7 && (magnitude > midpoints[code] || (magnitude == midpoints[code] && code % 2)))
    ++code;
  return signbit(x) ? (uint8_t)(code | 8) : code;
}
static float decode_e2m1(uint8_t code) {
  static const float values[8] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
  return code & 8 ? -values[code & 7] : values[code & 7];
}

/* ---- Quantize: blocks of 32 along a row, scale 2^(floor(log2 amax) - 2) -----------------------
 */

static void quantize_block(const float* x, int64_t count, uint8_t* codes, uint8_t* scale) {
  float amax = 0;
  int finite = 1;
  for (int64_t j = 0; j < count; ++j) {
    finite = finite && isfinite(x[j]);
    amax = fmaxf(amax, fabsf(x[j]));
  }
  memset(codes, 0, (size_t)(count + 1) / 2);
  if (!finite) { /* one NaN or infinity spoils its block: a NaN for scale, codes 0 */
    *scale = 255;
    return;
  }
  int exponent = -127; /* the smallest, for a block of zeros too */
  if (amax > 0) {
    exponent = ilogbf(amax) - 2;
    if (exponent < -127) exponent = -127;
  }
  *scale = (uint8_t)(exponent + 127);
  for (int64_t j = 0; j < count; ++j) /* the even column lies in the low nibble */
    codes[j / 2] |= (uint8_t)(encode_e2m1(ldexpf(x[j], -exponent)) << (j % 2 * 4));
}

static int32_t quantize(const assay_dut_call* call) {
  const assay_dut_tensor* x = input(call, ASSAY_DUT_X, ASSAY_DUT_VALUES);
  const assay_dut_tensor* codes = output(call, ASSAY_DUT_Q, ASSAY_DUT_VALUES);
  const assay_dut_tensor* scales = output(call, ASSAY_DUT_Q, ASSAY_DUT_SCALES);
  for (int64_t i = 0; i < call->m; ++i)
    for (int64_t j = 0; j < call->k; j += block) {
      const int64_t left = call->k - j;
      quantize_block((const float*)row(x, i, 4) + j, left < block ? left : block,
                     code_row(codes, i) + j / 2, (uint8_t*)row(scales, i, 1) + j / block);
    }
  return ASSAY_DUT_OK;
}

/* ---- GEMM: D = alpha * A B' + beta C + bias, accumulated in FP32 ------------------------------
 */

static float operand(const uint8_t* codes, const uint8_t* scales, int64_t k) {
  const uint8_t scale = scales[k / block];
  return scale == 255 ? NAN
                      : ldexpf(decode_e2m1(codes[k / 2] >> (k % 2 * 4) & 15), (int)scale - 127);
}

static int32_t gemm(const assay_dut_call* call) {
  const assay_dut_tensor* a = input(call, ASSAY_DUT_A, ASSAY_DUT_VALUES);
  const assay_dut_tensor* a_scales = input(call, ASSAY_DUT_A, ASSAY_DUT_SCALES);
  const assay_dut_tensor* b = input(call, ASSAY_DUT_B, ASSAY_DUT_VALUES);
  const assay_dut_tensor* b_scales = input(call, ASSAY_DUT_B, ASSAY_DUT_SCALES);
  const assay_dut_tensor* c = input(call, ASSAY_DUT_C, ASSAY_DUT_VALUES);
  const assay_dut_tensor* bias = input(call, ASSAY_DUT_BIAS, ASSAY_DUT_VALUES);
  const assay_dut_tensor* d = output(call, ASSAY_DUT_D, ASSAY_DUT_VALUES);
  for (int64_t i = 0; i < call->m; ++i)
    for (int64_t j = 0; j < call->n; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < call->k; ++k)
        sum += operand(code_row(a, i), (const uint8_t*)row(a_scales, i, 1), k) *
               operand(code_row(b, j), (const uint8_t*)row(b_scales, j, 1), k);
      sum *= call->alpha;
      /* Where beta is 0, C is not read: it may hold anything. */
      if (call->beta != 0) sum += call->beta * ((const float*)row(c, i, 4))[j];
      if (bias != NULL) sum += ((const float*)bias->data)[j];
      ((float*)row(d, i, 4))[j] = sum;
    }
  return ASSAY_DUT_OK;
}

/* ---- What assay asks for ----------------------------------------------------------------- */

static const char* error = "";

static int32_t describe(int32_t entry, assay_dut_claim* claim) {
  /* Everything else keeps its default: deterministic, nearest even, saturating, FP32 output. */
  claim->flags |= ASSAY_DUT_STRIDES;
  snprintf(claim->a, sizeof claim->a, "mxfp4-floor");
  switch (entry) {
    case 0:
      claim->operation = ASSAY_DUT_QUANTIZE;
      snprintf(claim->name, sizeof claim->name, "my_quantizer");
      return 0;
    case 1:
      claim->operation = ASSAY_DUT_GEMM;
      snprintf(claim->name, sizeof claim->name, "my_gemm");
      snprintf(claim->b, sizeof claim->b, "mxfp4-floor");
      claim->accumulator = ASSAY_DUT_FP32_ANY_ORDER; /* docs/bounds.md has the others */
      return 0;
    default:
      return 1;
  }
}

static int32_t run(const assay_dut_call* call) {
  switch (call->entry) {
    case 0:
      return quantize(call);
    case 1:
      return gemm(call);
    default:
      error = "there is no such entry";
      return ASSAY_DUT_ERROR;
  }
}

static const char* last_error(void) { return error; }

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const assay_dut_api*
assay_dut_get_api(uint32_t host_version) {
  static assay_dut_api api;
  if (host_version < ASSAY_DUT_ABI_VERSION) return NULL; /* an assay older than this header */
  api.size = sizeof api;
  api.version = ASSAY_DUT_ABI_VERSION;
  api.name = "template";
  api.entries = 2;
  api.device = NULL; /* tensors lie in host memory; see assay_dut_device for a GPU */
  api.describe = describe;
  api.run = run;
  api.last_error = last_error;
  return &api;
}
