// SPDX-License-Identifier: Apache-2.0
// Stands in where the build has no CUDA compiler.
#include "kernels/cuda/bench.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/exact_gemm.h"
#include "kernels/cuda/mma_gemm.h"
#include "kernels/cuda/probe.h"

namespace assay::kernels {

std::unique_ptr<TypedDevice> make_cuda_device(std::string& reason, const CudaMutant*) {
  reason = "this build has no GPU kernels: nvcc was not found when it was configured";
  return nullptr;
}

namespace cuda {

std::span<const ProbeInstruction> probe_instructions() { return {}; }
void run_probe_tile(const ProbeInstruction&, ProbeTile&) {}
ProbeCount probe_tiles(const ProbeInstruction&, const simulator::MmaUnit&, ProbeFamily,
                       std::uint64_t, std::uint64_t, std::uint64_t) {
  return {};
}
namespace {
std::string none(std::string& reason) {
  reason = "this build has no GPU code: nvcc was not found when it was configured";
  return {};
}
}  // namespace
std::string probe_gpu(int, std::string& reason) { return none(reason); }
ExactGemmRun exact_gemm(const formats::BlockScaledTensor&, const formats::BlockScaledTensor&, int,
                        bool) {
  return {};
}
ExactCheck exact_gemm_check(const formats::BlockScaledTensor&, const formats::BlockScaledTensor&,
                            const float*, double) {
  return {};
}
std::string exact_gemm_gpu(int, bool&, std::string& reason) { return none(reason); }
double cublas_fp64_seconds(std::int64_t, std::int64_t, std::int64_t, int, std::string& reason) {
  none(reason);
  return 0;
}

bool bench(const BenchOptions&, BenchResult&, std::string& reason) {
  reason = "this build has no GPU code: nvcc was not found when it was configured";
  return false;
}

double run_device_mma(const DeviceMmaCall&, int) { return 0; }
std::string mma_gpu(int, std::string& reason) {
  reason = "this build has no GPU code: nvcc was not found when it was configured";
  return {};
}

}  // namespace cuda
}  // namespace assay::kernels
