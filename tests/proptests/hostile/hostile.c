/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that misbehaves: every entry dequantizes MXFP4 rightly, but for one thing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/abi/assay_dut.h"

typedef struct {
  const uint8_t* codes;
  const uint8_t* scales;
  float* x;
  const assay_dut_tensor *codes_t, *scales_t, *x_t;
  int64_t rows, cols;
} call_t;

static call_t unpack(const assay_dut_call* call) {
  call_t c;
  c.codes_t = &call->in[0];
  c.scales_t = &call->in[1];
  c.x_t = &call->out[0];
  c.codes = c.codes_t->data;
  c.scales = c.scales_t->data;
  c.x = c.x_t->data;
  c.rows = c.codes_t->shape[0];
  c.cols = c.codes_t->shape[1];
  return c;
}

static float element(const call_t* c, int64_t i, int64_t j) {
  static const float values[8] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
  const uint8_t pair = c->codes[(i * c->codes_t->strides[0] + j) / 2];
  const uint8_t code = j % 2 == 0 ? pair & 15 : pair >> 4;
  const uint8_t scale = c->scales[i * c->scales_t->strides[0] + j / 32];
  const float magnitude = scale == 255 ? NAN : ldexpf(values[code & 7], (int)scale - 127);
  return code & 8 ? -magnitude : magnitude;
}

static void right(const call_t* c) {
  for (int64_t i = 0; i < c->rows; ++i)
    for (int64_t j = 0; j < c->cols; ++j) c->x[i * c->x_t->strides[0] + j] = element(c, i, j);
}

static const char* error = "";

static int is_right(const call_t* c) {
  right(c);
  return ASSAY_DUT_OK;
}
static int segfaults(const call_t* c) {
  right(c);
  static int* volatile nowhere = NULL;
  *nowhere = 1;
  return ASSAY_DUT_OK;
}
static int overflow_stack(int64_t depth) {
  static volatile int enough = 0;
  volatile char frame[4096];
  frame[depth % 4096] = (char)depth;
  if (enough) return 0;
  return overflow_stack(depth + 1) + frame[0];
}
static int exhausts_its_stack(const call_t* c) { return overflow_stack(c->rows); }
static int spins(const call_t* c) {
  static volatile int enough = 0;
  while (!enough) right(c);
  return ASSAY_DUT_OK;
}
static int exits(const call_t* c) {
  right(c);
  exit(3);
}
/* Success, to look like a run that ended well. */
static int exits_with_success(const call_t* c) {
  right(c);
  _exit(0);
}
static int aborts(const call_t* c) {
  fprintf(stderr, "an invariant does not hold in %s\n", __func__);
  (void)c;
  abort();
}
static int is_killed(const call_t* c) {
  right(c);
  return raise(SIGKILL);
}
static int writes_before(const call_t* c) {
  right(c);
  ((volatile uint8_t*)c->x)[-17] = 0;
  return ASSAY_DUT_OK;
}
static int writes_after(const call_t* c) {
  right(c);
  ((volatile uint8_t*)c->x)[c->x_t->bytes] = 0;
  return ASSAY_DUT_OK;
}
static int writes_between_rows(const call_t* c) {
  right(c);
  if (c->rows > 1 && c->x_t->strides[0] > c->cols) c->x[c->cols] = 1;
  return ASSAY_DUT_OK;
}
static int reads_after(const call_t* c) {
  static volatile uint8_t read;
  read = ((const volatile uint8_t*)c->codes)[c->codes_t->bytes + 15];
  (void)read;
  return is_right(c);
}
static int answers_nan(const call_t* c) {
  for (int64_t i = 0; i < c->rows; ++i)
    for (int64_t j = 0; j < c->cols; ++j) c->x[i * c->x_t->strides[0] + j] = NAN;
  return ASSAY_DUT_OK;
}
static int modifies_inputs(const call_t* c) {
  right(c);
  ((uint8_t*)c->codes)[0] ^= 1;
  return ASSAY_DUT_OK;
}
static int leaves_one_out(const call_t* c) {
  float last;
  float* at = &c->x[(c->rows - 1) * c->x_t->strides[0] + c->cols - 1];
  memcpy(&last, at, sizeof last);
  right(c);
  memcpy(at, &last, sizeof last);
  return ASSAY_DUT_OK;
}
static int answers_as_before(const call_t* c) {
  static float before[1 << 16];
  for (int64_t i = 0; i < c->rows; ++i)
    for (int64_t j = 0; j < c->cols; ++j) {
      c->x[i * c->x_t->strides[0] + j] = before[i * c->cols + j];
      before[i * c->cols + j] = element(c, i, j);
    }
  return ASSAY_DUT_OK;
}
static int declines(const call_t* c) {
  (void)c;
  return ASSAY_DUT_DECLINED;
}
static int reports_an_error(const call_t* c) {
  (void)c;
  error = "misaligned address";
  return ASSAY_DUT_ERROR;
}
/* As after a CUDA fault: one call breaks the context, and every later one says so. */
static int breaks_for_good(const call_t* c) {
  static int broken = 0;
  broken = broken || c->cols == 34;
  error = "unspecified launch failure";
  if (broken) return ASSAY_DUT_ERROR;
  return is_right(c);
}
static int prints_a_megabyte(const call_t* c) {
  for (int i = 0; i < 1 << 10; ++i) printf("%01023d\n", i);
  return is_right(c);
}
static int closes_descriptors(const call_t* c) {
  for (int fd = 0; fd < 1024; ++fd) close(fd);
  return is_right(c);
}
static int closes_its_output(const call_t* c) {
  for (int fd = 0; fd < 3; ++fd) close(fd);
  return is_right(c);
}
/* Its twin returns to the harness as well. */
static int forks(const call_t* c) {
  const pid_t child = fork();
  if (child < 0) return ASSAY_DUT_ERROR;
  return child == 0 ? ASSAY_DUT_OK : is_right(c);
}
static int leaves_a_child_spinning(const call_t* c) {
  const pid_t child = fork();
  if (child < 0) return ASSAY_DUT_ERROR;
  if (child == 0) {
    for (;;) pause();
  }
  return is_right(c);
}
static int crashes_beside_its_twin(const call_t* c) {
  if (leaves_a_child_spinning(c) != ASSAY_DUT_OK) return ASSAY_DUT_ERROR;
  abort();
}

/* Looks for the right answer in all of its memory, and answers with it or with NaN. The copy that
 * it compares with is masked, or it would find that. */
static int found_in(int memory, uint64_t first, uint64_t end, const uint8_t* masked, size_t bytes) {
  static uint8_t window[1 << 16];
  for (uint64_t at = first; at + bytes <= end; at += sizeof window - bytes) {
    const uint64_t left = end - at;
    const size_t want = left < sizeof window ? left : sizeof window;
    const ssize_t got = pread(memory, window, want, (off_t)at);
    for (ssize_t i = 0; i + (ssize_t)bytes <= got; ++i) {
      size_t same = 0;
      while (same < bytes && (window[i + same] ^ 0x5A) == masked[same]) ++same;
      if (same == bytes) return 1;
    }
    memset(window, 0, sizeof window);
    if (got != (ssize_t)want || want < sizeof window) break;
  }
  return 0;
}
static int peeks(const call_t* c) {
  static uint8_t masked[1 << 12];
  size_t bytes = 0;
  for (int64_t i = 0; i < c->rows; ++i)
    for (int64_t j = 0; j < c->cols; ++j) {
      const float x = element(c, i, j);
      for (size_t b = 0; b < sizeof x && bytes < sizeof masked; ++b)
        masked[bytes++] = ((const uint8_t*)&x)[b] ^ 0x5A;
    }
  int found = 0;
  FILE* maps = fopen("/proc/self/maps", "r");
  const int memory = open("/proc/self/mem", O_RDONLY);
  char line[512];
  while (!found && fgets(line, sizeof line, maps) != NULL) {
    unsigned long first, end;
    char access[8];
    if (sscanf(line, "%lx-%lx %7s", &first, &end, access) == 3 && access[0] == 'r')
      found = found_in(memory, first, end, masked, bytes);
  }
  close(memory);
  fclose(maps);
  return found ? is_right(c) : answers_nan(c);
}

static const struct {
  const char* name;
  int (*run)(const call_t*);
} entries[] = {{"is_right", is_right},
               {"segfaults", segfaults},
               {"exhausts_its_stack", exhausts_its_stack},
               {"spins", spins},
               {"exits", exits},
               {"exits_with_success", exits_with_success},
               {"aborts", aborts},
               {"is_killed", is_killed},
               {"writes_before", writes_before},
               {"writes_after", writes_after},
               {"writes_between_rows", writes_between_rows},
               {"reads_after", reads_after},
               {"answers_nan", answers_nan},
               {"modifies_inputs", modifies_inputs},
               {"leaves_one_out", leaves_one_out},
               {"answers_as_before", answers_as_before},
               {"declines", declines},
               {"reports_an_error", reports_an_error},
               {"breaks_for_good", breaks_for_good},
               {"prints_a_megabyte", prints_a_megabyte},
               {"closes_descriptors", closes_descriptors},
               {"closes_its_output", closes_its_output},
               {"forks", forks},
               {"leaves_a_child_spinning", leaves_a_child_spinning},
               {"crashes_beside_its_twin", crashes_beside_its_twin},
               {"peeks", peeks}};

static int32_t describe(int32_t entry, assay_dut_claim* claim) {
  claim->operation = ASSAY_DUT_DEQUANTIZE;
  snprintf(claim->name, sizeof claim->name, "%s", entries[entry].name);
  snprintf(claim->a, sizeof claim->a, "mxfp4-floor");
  claim->flags |= ASSAY_DUT_STRIDES;
  return 0;
}
static int32_t run(const assay_dut_call* call) {
  const call_t c = unpack(call);
  error = "";
  return entries[call->entry].run(&c);
}
static const char* last_error(void) { return error; }

const assay_dut_api* assay_dut_get_api(uint32_t host_version) {
  static const assay_dut_api api = {sizeof api, ASSAY_DUT_ABI_VERSION,
                                    "hostile",  sizeof entries / sizeof entries[0],
                                    NULL,       describe,
                                    run,        last_error};
  return host_version >= ASSAY_DUT_ABI_VERSION ? &api : NULL;
}
