/* SPDX-License-Identifier: Apache-2.0 */
/* How a kernel attaches to assay: one C header, no library. Build a shared object that exports
 *
 *     const assay_dut_api* assay_dut_get_api(uint32_t host_version);
 *
 * and hand it to `assay certify libmine.so`. assay_dut_template.c is a whole plugin to start from,
 * docs/certify.md walks through it. The definitions are this project's; type codes are DLPack's.
 *
 * Rules that the harness enforces, each by a check that can fail:
 * - Every byte of an output is written; no other byte is. Inputs are read only.
 * - The same call gives the same bits (unless the claim lacks ASSAY_DUT_DETERMINISTIC).
 * - Matrices are described by shape and strides; bytes between rows are padding, hold anything
 *   (NaN patterns too), and neither change the answer nor are written to.
 * - An answer that was never computed is not a pass: returning ASSAY_DUT_DECLINED is reported. */
#ifndef ASSAY_DUT_H_
#define ASSAY_DUT_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows by one with every change that an older plugin cannot ignore. Structs carry their size:
 * fields are only ever added at the end, and the smaller of both sizes is read. */
#define ASSAY_DUT_ABI_VERSION 1u

/* What an entry computes. Rows and columns below are those of shape[]; Q means a block-scaled
 * tensor in three parts (values = codes, scale factors, tensor scale). [..]: may be absent. */
enum assay_dut_operation {
  ASSAY_DUT_CONVERT = 1,    /* X m x k numbers -> Q.values: their codes in format a            */
  ASSAY_DUT_QUANTIZE = 2,   /* X m x k f32, [GIVEN.values scales] -> Q                         */
  ASSAY_DUT_DEQUANTIZE = 3, /* Q m x k -> X f32 = code * scale * tensor scale, rounded once    */
  /* A m x k, B n x k, [C m x n f32], [BIAS n f32] -> D m x n in format d:
   * round(alpha * sum_k A B + beta C + bias). C is not read where beta is 0. */
  ASSAY_DUT_GEMM = 4,
  /* A.values m x k f32, quantized by the kernel to format a, else as GEMM; -> D, [Q of A]       */
  ASSAY_DUT_QUANTIZE_GEMM = 5,
  /* A m x k, B 2n x k (gate and up rows, see gate_layout) -> D m x n:
   * round(silu(min(g, limit)) * clamp(u, -limit, limit)); limit 0: no clamp. alpha is 1. */
  ASSAY_DUT_GATED_GEMM = 6,
  /* B groups x n x k. contiguous: A m x k, OFFSETS groups+1 i64 (row ranges of A, empty ones
   * too) -> D m x n. masked: A groups x m x k, COUNTS groups i64 -> D groups x m x n, where rows
   * from the count on are not written. Each group has its own B tensor scale. alpha as in a GEMM,
   * no C and no BIAS. Rows of A before the first and behind the last offset: not written. */
  ASSAY_DUT_GROUPED_GEMM = 7,
  /* X m x k, W n x k, [BIAS n], [GIVEN scales n x ceil(k/block)], all f32 -> Y m x n = X Wq' + bias
   */
  ASSAY_DUT_QAT_FORWARD = 8,
  /* The same and DY m x n -> DX m x k, DW n x k, DBIAS n, [DSCALE as GIVEN, lsq and pact only], all
     f32 */
  ASSAY_DUT_QAT_BACKWARD = 9,
  ASSAY_DUT_STOCHASTIC_QUANTIZE = 10,  /* X m x k f32, [RANDOM m x k u32], seed -> Q              */
  ASSAY_DUT_TRANSPOSE_REQUANTIZE = 11, /* X m x k f32 or Q m x k -> QT, k x m: Q(X') or Q(DQ(Q)') */
  /* Q.values m x k -> QT.values k x m, transposed (Q's column-major codes); or Q.scales ->
   * QT.scales, the same in the other layout. */
  ASSAY_DUT_LAYOUT = 12
};

enum assay_dut_status { ASSAY_DUT_OK = 0, ASSAY_DUT_DECLINED = 1, ASSAY_DUT_ERROR = -1 };

/* Which operand a tensor is, and which part of it. */
enum assay_dut_role {
  ASSAY_DUT_X = 1,
  ASSAY_DUT_Q = 2,
  ASSAY_DUT_QT = 3,
  ASSAY_DUT_A = 4,
  ASSAY_DUT_B = 5,
  ASSAY_DUT_C = 6,
  ASSAY_DUT_BIAS = 7,
  ASSAY_DUT_D = 8,
  ASSAY_DUT_W = 9,
  ASSAY_DUT_GIVEN = 10,
  ASSAY_DUT_Y = 11,
  ASSAY_DUT_DY = 12,
  ASSAY_DUT_DX = 13,
  ASSAY_DUT_DW = 14,
  ASSAY_DUT_DSCALE = 15,
  ASSAY_DUT_DBIAS = 16,
  ASSAY_DUT_OFFSETS = 17,
  ASSAY_DUT_COUNTS = 18,
  ASSAY_DUT_RANDOM = 19
};
enum assay_dut_part {
  ASSAY_DUT_VALUES = 0, /* numbers, or the codes of a block-scaled tensor                     */
  ASSAY_DUT_SCALES = 1, /* its scale factors, rows x ceil(cols / block)                       */
  ASSAY_DUT_TENSOR_SCALE = 2 /* its FP32 factor (one; one per group of B in a grouped GEMM) */
};

/* DLPack's type codes (dlpack.h, DLDataTypeCode), with bits and lanes as DLPack has them. */
enum assay_dut_type {
  ASSAY_DUT_INT = 0,
  ASSAY_DUT_UINT = 1,
  ASSAY_DUT_FLOAT = 2,
  ASSAY_DUT_BFLOAT = 4,
  ASSAY_DUT_FLOAT8_E4M3FN = 10,
  ASSAY_DUT_FLOAT8_E5M2 = 12,
  ASSAY_DUT_FLOAT8_E8M0FNU = 14,
  ASSAY_DUT_FLOAT4_E2M1FN =
      17 /* bits 4, lanes 2: two to a byte, the even index in the low nibble */
};

/* Where element (i, j) lies. */
enum assay_dut_layout {
  ASSAY_DUT_STRIDED = 0, /* at i * strides[0] + j * strides[1], in elements */
  /* Scale factors of one byte, cuBLAS and CUTLASS "128x4": with C = columns, at
   * ((i/128) * ceil(C/4) + j/4) * 512 + (i%32) * 16 + ((i%128)/32) * 4 + j%4; allocated whole,
   * padding zero (written as zero where it is an output; see ASSAY_DUT_ANY_PADDING).
   * Of three dimensions: such an array for each first index, one after the other. */
  ASSAY_DUT_SCALES_128X4 = 1
};

typedef struct assay_dut_tensor {
  void* data;     /* of the device that the api names; the host where it names none           */
  uint64_t bytes; /* from data to the end of the last element                                  */
  uint32_t role, part; /* enum assay_dut_role, enum assay_dut_part */
  uint8_t type_code, type_bits;
  uint16_t type_lanes;
  uint32_t layout;  /* enum assay_dut_layout                                                     */
  int32_t ndim;     /* 1 to 3                                                                    */
  int64_t shape[4]; /* in elements                                                               */
  int64_t strides[4]; /* in elements; of a 4-bit tensor all but the unit stride are even */
} assay_dut_tensor;

enum assay_dut_rounding {
  ASSAY_DUT_NEAREST_EVEN = 0,
  ASSAY_DUT_NEAREST_AWAY = 1,
  ASSAY_DUT_TOWARD_ZERO = 2,
  ASSAY_DUT_TOWARD_POSITIVE = 3,
  ASSAY_DUT_TOWARD_NEGATIVE = 4,
  ASSAY_DUT_TO_ODD = 5,
  ASSAY_DUT_STOCHASTIC = 6
};
/* docs/bounds.md derives the error bound that each allows. */
enum assay_dut_accumulator {
  ASSAY_DUT_EXACT = 0, /* no rounding before the output                                    */
  ASSAY_DUT_FP32_ANY_ORDER = 1, /* the default where nothing is known */
  ASSAY_DUT_FP32_FIXED_ORDER =
      2,                   /* k ascending, one accumulator, no fused multiply-add: bit exact  */
  ASSAY_DUT_TRUNCATING = 3 /* tensor core: fraction_bits kept, FP32 every `promotion` of k     */
};
/* Formulas and sources: golden/estimator.h. `limit` of the call is the delta of EWGS and the T of
 * the trust mask (in units of the scale), and 0 for the others. */
enum assay_dut_estimator {
  ASSAY_DUT_IDENTITY = 0,
  ASSAY_DUT_CLIP_MASK = 1,
  ASSAY_DUT_LSQ = 2,
  ASSAY_DUT_PACT = 3,
  ASSAY_DUT_EWGS = 4,
  ASSAY_DUT_DGE = 5,
  ASSAY_DUT_TRUST_MASK = 6
};
enum assay_dut_gate_layout {
  ASSAY_DUT_CONCATENATED = 0, /* B rows 0..n-1 are gates, n..2n-1 are ups */
  ASSAY_DUT_INTERLEAVED = 1   /* even rows are gates, odd rows ups   */
};
enum assay_dut_group_layout { ASSAY_DUT_CONTIGUOUS = 0, ASSAY_DUT_MASKED = 1 };
enum assay_dut_random {
  ASSAY_DUT_RANDOM_OPAQUE = 0, /* the kernel's own generator: judged by a test at 1e-9 */
  ASSAY_DUT_RANDOM_WORDS =
      1, /* RANDOM holds a word for each element, its top random_bits are used  */
  ASSAY_DUT_RANDOM_PHILOX = 2 /* Philox4x32-10, key = seed, counter = index / 4, word = index % 4 */
};
enum assay_dut_flags {
  ASSAY_DUT_DETERMINISTIC = 1u, /* equal calls give equal bits */
  ASSAY_DUT_STRIDES = 2u, /* takes any row stride; without it rows are dense                     */
  ASSAY_DUT_STREAM = 4u,  /* launches on call->stream                                            */
  ASSAY_DUT_GRAPH = 8u,   /* may be captured; the harness then replays the graph as well         */
  /* The padding of swizzled scale factors may hold anything; without it, it arrives as zeros. */
  ASSAY_DUT_ANY_PADDING = 16u,
  /* A row of a product has the same bits whatever other rows are in the call (no split of k that
   * depends on m or n). Follows by itself from the accumulators exact and fp32_fixed_order. */
  ASSAY_DUT_BATCH_INVARIANT = 32u,
  /* With ASSAY_DUT_STRIDES: offsets of rows, in elements, may need more than 32 bits. The harness
   * then asks for rows 2^30 and 2^31 elements apart; memory between them is mapped, not filled. In
   * the memory of a device that is up to 50 GB: where allocate fails, the call counts as declined.
   */
  ASSAY_DUT_FAR_ROWS = 64u
};

/* What an entry says it computes. It selects the oracle and the criterion: a kernel that rounds
 * ties away is certified as that. Strings end with a zero; `assay formats` and `assay list` print
 * the names. A plugin fills what differs from the defaults that the host has written there:
 * deterministic, nearest_even, saturating, fp32 in any order, multiples of 1, one tactic. */
typedef struct assay_dut_claim {
  uint32_t size; /* set by the host: sizeof of its struct                                      */
  uint32_t operation; /* enum assay_dut_operation */
  char name[64];    /* unique in the plugin: what --entry selects                                 */
  char a[32];       /* format of A, X or Q: a block format (nvfp4, mxfp4-rceil, ...) or bf16, f32 */
  char b[32];       /* of B, or of the weights of a QAT step                                      */
  char d[32];       /* of D or of the source of a conversion: fp32, bf16, ...                     */
  char profile[32]; /* overflow and NaN rule: saturating, ieee, cuda13, ...                       */
  /* Of a gemm: a tensor-core model by name (`assay mma --list`); bit exact, in place of the
   * accumulator below. k ascending, promoted to FP32 every `promotion`, and the epilogue of
   * ASSAY_DUT_FP32_FIXED_ORDER (docs/bounds.md). Empty: the accumulator. */
  char mma_model[48];
  uint32_t rounding, accumulator, scale_layout, gate_layout, group_layout, random;
  int32_t fraction_bits, promotion; /* of a truncating accumulator; promotion 0: never */
  int32_t random_bits; /* of a stochastic rounding, 1 to 16                            */
  int32_t estimators;  /* bit e: enum assay_dut_estimator e is implemented              */
  int64_t m_multiple, n_multiple, k_multiple;
  int32_t tactics; /* implementations behind this entry; each is certified                       */
  uint32_t flags;  /* enum assay_dut_flags                                                       */
} assay_dut_claim;

typedef struct assay_dut_call {
  uint32_t size;
  uint32_t operation;
  int32_t entry, tactic;
  int64_t m, n, k, groups;
  float alpha, beta, limit;
  uint32_t estimator;
  uint64_t seed;
  uint32_t n_in, n_out;
  const assay_dut_tensor* in;
  const assay_dut_tensor* out;
  void* stream; /* where the api has streams */
} assay_dut_call;

/* Memory that is not the host's. Absent (NULL in the api): tensors lie in host memory. Return 0
 * for success. Device types are DLPack's: 1 cpu, 2 cuda, 10 rocm, 14 oneapi, ... The stream and
 * graph functions may be NULL. */
typedef struct assay_dut_device {
  uint32_t size;
  int32_t device_type, device_id;
  int32_t (*allocate)(void** memory, uint64_t bytes);
  int32_t (*release)(void* memory);
  int32_t (*to_device)(void* to, const void* from, uint64_t bytes);
  int32_t (*to_host)(void* to, const void* from, uint64_t bytes);
  int32_t (*synchronize)(void* stream);
  int32_t (*stream_create)(void** stream);
  int32_t (*capture_begin)(void* stream);
  int32_t (*capture_end)(void* stream, void** graph);
  int32_t (*graph_launch)(void* graph, void* stream);
  int32_t (*graph_release)(void* graph);
} assay_dut_device;

typedef struct assay_dut_api {
  uint32_t size;
  uint32_t version; /* the version that the plugin speaks, at most the host's        */
  const char* name; /* of the device, for reports                                    */
  int32_t entries;
  const assay_dut_device* device; /* NULL: host memory */
  /* Fills claim of entry 0 .. entries-1; 0 for success. */
  int32_t (*describe)(int32_t entry, assay_dut_claim* claim);
  /* enum assay_dut_status. */
  int32_t (*run)(const assay_dut_call* call);
  /* What the last error was, for the report; may be NULL. */
  const char* (*last_error)(void);
} assay_dut_api;

/* NULL: the plugin cannot speak host_version or anything older. */
typedef const assay_dut_api* (*assay_dut_get_api_function)(uint32_t host_version);

#ifdef __cplusplus
}
#endif
#endif /* ASSAY_DUT_H_ */
