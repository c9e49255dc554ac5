/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that open_plugin must refuse, and some that it must take: one shared object for each,
 * chosen by PLUGIN when this file is compiled. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/abi/assay_dut.h"

enum {
  PLUGIN_NULL_API,
  PLUGIN_NEWER,
  PLUGIN_SHORT_API,
  PLUGIN_NO_RUN,
  PLUGIN_NO_ENTRIES,
  PLUGIN_SAME_NAMES,
  PLUGIN_UNKNOWN_FORMAT,
  PLUGIN_CLEARED_CLAIM,
  PLUGIN_DESCRIBE_FAILS,
  PLUGIN_NO_ALLOCATE,
  PLUGIN_GRAPH_WITHOUT_DEVICE,
  PLUGIN_OLDER, /* its assay_dut_api ends before last_error */
  PLUGIN_TACTICS,
  PLUGIN_DEVICE /* with memory of its own and graphs */
};

static int32_t describe(int32_t entry, assay_dut_claim* claim) {
  if (PLUGIN == PLUGIN_DESCRIBE_FAILS) return 7;
  if (PLUGIN == PLUGIN_CLEARED_CLAIM) memset(claim, 0, sizeof *claim);
  claim->operation = ASSAY_DUT_DEQUANTIZE;
  snprintf(claim->name, sizeof claim->name, "entry%d",
           PLUGIN == PLUGIN_SAME_NAMES ? 0 : (int)entry);
  snprintf(claim->a, sizeof claim->a, PLUGIN == PLUGIN_UNKNOWN_FORMAT ? "nvfp5" : "mxfp4-floor");
  if (PLUGIN == PLUGIN_GRAPH_WITHOUT_DEVICE) claim->flags |= ASSAY_DUT_GRAPH;
  if (PLUGIN == PLUGIN_DEVICE && entry >= 2) claim->flags |= ASSAY_DUT_GRAPH;
  if (PLUGIN == PLUGIN_TACTICS && entry == 0) claim->tactics = 3;
  return 0;
}

/* A device whose memory is the heap and whose graphs are one call that is made again. */
static const assay_dut_call* recorded = NULL;
static assay_dut_call copy_of_recorded;
static assay_dut_tensor tensors[2];
static int capturing = 0;

static int work(const assay_dut_call* call) {
  const uint8_t* from = call->in[0].data;
  uint8_t* to = call->out[0].data;
  for (uint64_t i = 0; i < call->out[0].bytes; ++i) to[i] = from[i % call->in[0].bytes];
  if (call->entry == 1) to[call->out[0].bytes] = 0;                  /* outside */
  if (call->entry == 3 && recorded != NULL) to[0] = (uint8_t)~to[0]; /* only in a graph */
  return ASSAY_DUT_OK;
}
static int32_t run(const assay_dut_call* call) {
  if (PLUGIN != PLUGIN_DEVICE) {
    uint8_t* to = call->out[0].data;
    for (uint64_t i = 0; i < call->out[0].bytes; ++i)
      to[i] = (uint8_t)(16 * call->entry + call->tactic);
    return ASSAY_DUT_OK;
  }
  if (!capturing) return call->entry < 2 || call->stream != NULL ? work(call) : ASSAY_DUT_ERROR;
  copy_of_recorded = *call;
  tensors[0] = call->in[0];
  tensors[1] = call->out[0];
  copy_of_recorded.in = &tensors[0];
  copy_of_recorded.out = &tensors[1];
  recorded = &copy_of_recorded;
  return ASSAY_DUT_OK;
}

static int32_t allocate(void** memory, uint64_t bytes) {
  *memory = malloc(bytes);
  return *memory == NULL;
}
static int32_t release(void* memory) {
  free(memory);
  return 0;
}
static int32_t copy(void* to, const void* from, uint64_t bytes) {
  memcpy(to, from, bytes);
  return 0;
}
static int32_t synchronize(void* stream) {
  (void)stream;
  return 0;
}
static int32_t stream_create(void** stream) {
  *stream = &capturing;
  return 0;
}
static int32_t capture_begin(void* stream) {
  (void)stream;
  capturing = 1;
  return 0;
}
static int32_t capture_end(void* stream, void** graph) {
  (void)stream;
  capturing = 0;
  *graph = &copy_of_recorded;
  return recorded == NULL;
}
static int32_t graph_launch(void* graph, void* stream) {
  (void)stream;
  return work(graph);
}
static int32_t graph_release(void* graph) {
  (void)graph;
  recorded = NULL;
  return 0;
}

const assay_dut_api* assay_dut_get_api(uint32_t host_version) {
  static assay_dut_device device;
  static assay_dut_api api;
  (void)host_version;
  if (PLUGIN == PLUGIN_NULL_API) return NULL;
  device.size = sizeof device;
  device.device_type = 1;
  device.allocate = PLUGIN == PLUGIN_NO_ALLOCATE ? NULL : allocate;
  device.release = release;
  device.to_device = copy;
  device.to_host = copy;
  device.synchronize = synchronize;
  device.stream_create = stream_create;
  device.capture_begin = capture_begin;
  device.capture_end = capture_end;
  device.graph_launch = graph_launch;
  device.graph_release = graph_release;
  api.size = PLUGIN == PLUGIN_SHORT_API ? 8
             : PLUGIN == PLUGIN_OLDER   ? (uint32_t)offsetof(assay_dut_api, last_error)
                                        : (uint32_t)sizeof api;
  api.version = PLUGIN == PLUGIN_NEWER ? ASSAY_DUT_ABI_VERSION + 1 : ASSAY_DUT_ABI_VERSION;
  api.entries = PLUGIN == PLUGIN_NO_ENTRIES ? 0 : PLUGIN == PLUGIN_DEVICE ? 4 : 2;
  if (PLUGIN == PLUGIN_DEVICE || PLUGIN == PLUGIN_NO_ALLOCATE) api.device = &device;
  api.describe = describe;
  api.run = PLUGIN == PLUGIN_NO_RUN ? NULL : run;
  /* What lies behind the end of an older struct must not be called. */
  if (PLUGIN == PLUGIN_OLDER) memset((void*)&api.last_error, 0xFF, sizeof api.last_error);
  return &api;
}
