// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cublas.h"

#include <dlfcn.h>

#include <cstdlib>
#include <sstream>
#include <vector>

#include "kernels/cuda/check.h"

namespace assay::kernels::cuda {
namespace {

// Values and layouts of cublas_api.h and cublasLt.h, which need not be installed here.
constexpr int kDataF32 = 0, kDataBf16 = 14, kDataE4m3 = 28;  // cudaDataType_t
constexpr int kComputeF32 = 68;                              // CUBLAS_COMPUTE_32F
constexpr int kNormal = 0, kTransposed = 1;                  // cublasOperation_t
constexpr int kDescTransA = 3, kDescTransB = 4;              // CUBLASLT_MATMUL_DESC_*
constexpr int kDescScaleA = 17, kDescScaleB = 18;
constexpr int kPreferWorkspace = 1;  // CUBLASLT_MATMUL_PREF_*
constexpr std::size_t kWorkspace = 64U << 20U;
struct LtAlgorithm {
  std::uint64_t data[8];
};
struct LtHeuristic {
  LtAlgorithm algorithm;
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

}  // namespace

void* open_cublas_library(std::initializer_list<const char*> names) {
  std::vector<std::string> directories{""};
  if (const char* path = std::getenv("ASSAY_CUBLAS_PATH")) {
    std::istringstream parts(path);
    for (std::string part; std::getline(parts, part, ':');) directories.push_back(part + "/");
  }
  for (const std::string& directory : directories)
    for (const char* name : names)
      if (void* library = dlopen((directory + name).c_str(), RTLD_NOW | RTLD_GLOBAL))
        return library;
  return nullptr;
}

struct Cublas::State {
  void* handle = nullptr;
  void* lt_handle = nullptr;
  void* workspace = nullptr;
  float* one = nullptr;
  int version = 0;
  int (*destroy)(void*) = nullptr;
  int (*set_stream)(void*, cudaStream_t) = nullptr;
  int (*gemm)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int,
              int, const void*, void*, int, int, int, int) = nullptr;
  int (*lt_destroy)(void*) = nullptr;
  int (*desc_create)(void**, int, int) = nullptr;
  int (*desc_set)(void*, int, const void*, std::size_t) = nullptr;
  int (*layout_create)(void**, int, std::uint64_t, std::uint64_t, std::int64_t) = nullptr;
  int (*preference_create)(void**) = nullptr;
  int (*preference_set)(void*, int, const void*, std::size_t) = nullptr;
  int (*heuristic)(void*, void*, void*, void*, void*, void*, void*, int, LtHeuristic*,
                   int*) = nullptr;
  int (*matmul)(void*, void*, const void*, const void*, void*, const void*, void*, const void*,
                const void*, void*, void*, void*, const LtAlgorithm*, void*, std::size_t,
                cudaStream_t) = nullptr;
};

std::unique_ptr<Cublas> Cublas::open(std::string& reason) {
  void* lt = open_cublas_library({"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"});
  void* blas = open_cublas_library({"libcublas.so.13", "libcublas.so.12", "libcublas.so"});
  if (lt == nullptr || blas == nullptr) {
    reason = "libcublas and libcublasLt were not found; ASSAY_CUBLAS_PATH may name their directory";
    return nullptr;
  }
  std::unique_ptr<Cublas> result(new Cublas);
  result->state_ = std::make_unique<State>();
  State& s = *result->state_;
  std::string missing;
  const auto load = [&](auto& function, void* library, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) missing = name;
  };
  int (*create)(void**) = nullptr;
  int (*lt_create)(void**) = nullptr;
  int (*get_version)(void*, int*) = nullptr;
  int (*set_workspace)(void*, void*, std::size_t) = nullptr;
  load(create, blas, "cublasCreate_v2");
  load(get_version, blas, "cublasGetVersion_v2");
  load(set_workspace, blas, "cublasSetWorkspace_v2");
  load(s.destroy, blas, "cublasDestroy_v2");
  load(s.set_stream, blas, "cublasSetStream_v2");
  load(s.gemm, blas, "cublasGemmEx");
  load(lt_create, lt, "cublasLtCreate");
  load(s.lt_destroy, lt, "cublasLtDestroy");
  load(s.desc_create, lt, "cublasLtMatmulDescCreate");
  load(s.desc_set, lt, "cublasLtMatmulDescSetAttribute");
  load(s.layout_create, lt, "cublasLtMatrixLayoutCreate");
  load(s.preference_create, lt, "cublasLtMatmulPreferenceCreate");
  load(s.preference_set, lt, "cublasLtMatmulPreferenceSetAttribute");
  load(s.heuristic, lt, "cublasLtMatmulAlgoGetHeuristic");
  load(s.matmul, lt, "cublasLtMatmul");
  if (!missing.empty()) {
    reason = "the cuBLAS found has no " + missing;
    s.destroy = nullptr;
    s.lt_destroy = nullptr;
    return nullptr;
  }
  if (create(&s.handle) != 0 || lt_create(&s.lt_handle) != 0) {
    reason = "cuBLAS does not start on this machine";
    return nullptr;
  }
  get_version(s.handle, &s.version);
  check(cudaMalloc(&s.workspace, kWorkspace), "cudaMalloc");
  check(cudaMalloc(&s.one, sizeof(float)), "cudaMalloc");
  const float one = 1.0F;
  check(cudaMemcpy(s.one, &one, sizeof one, cudaMemcpyHostToDevice), "cudaMemcpy");
  set_workspace(s.handle, s.workspace, kWorkspace);
  return result;
}

Cublas::~Cublas() {
  if (state_ == nullptr) return;
  if (state_->handle != nullptr && state_->destroy != nullptr) state_->destroy(state_->handle);
  if (state_->lt_handle != nullptr && state_->lt_destroy != nullptr)
    state_->lt_destroy(state_->lt_handle);
  cudaFree(state_->workspace);
  cudaFree(state_->one);
}

std::string Cublas::version() const {
  const int v = state_->version;
  return "cuBLAS " + std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." +
         std::to_string(v % 100);
}

// The libraries are column-major: D' (n x m) = B A', B and A transposed where they are row-major.
bool Cublas::bf16(const void* a, const void* b, void* d, std::int64_t m, std::int64_t n,
                  std::int64_t k, bool bf16_out, cudaStream_t stream) {
  State& s = *state_;
  const float alpha = 1.0F;
  const float beta = 0.0F;
  const int in = static_cast<int>(k);
  s.set_stream(s.handle, stream);
  return s.gemm(s.handle, kTransposed, kNormal, static_cast<int>(n), static_cast<int>(m), in,
                &alpha, b, kDataBf16, in, a, kDataBf16, in, &beta, d,
                bf16_out ? kDataBf16 : kDataF32, static_cast<int>(n), kComputeF32, -1) == 0;
}

bool Cublas::e4m3(const void* a, const void* b, void* d, std::int64_t m, std::int64_t n,
                  std::int64_t k, cudaStream_t stream) {
  State& s = *state_;
  void *description = nullptr, *lb = nullptr, *la = nullptr, *ld = nullptr, *preference = nullptr;
  bool ok = s.desc_create(&description, kComputeF32, kDataF32) == 0;
  const int transposed = kTransposed;
  const int normal = kNormal;
  ok = ok && s.desc_set(description, kDescTransA, &transposed, sizeof transposed) == 0;
  ok = ok && s.desc_set(description, kDescTransB, &normal, sizeof normal) == 0;
  ok = ok && s.desc_set(description, kDescScaleA, &s.one, sizeof s.one) == 0;
  ok = ok && s.desc_set(description, kDescScaleB, &s.one, sizeof s.one) == 0;
  ok = ok && s.layout_create(&lb, kDataE4m3, k, n, k) == 0;
  ok = ok && s.layout_create(&la, kDataE4m3, k, m, k) == 0;
  ok = ok && s.layout_create(&ld, kDataBf16, n, m, n) == 0;
  ok = ok && s.preference_create(&preference) == 0;
  ok = ok && s.preference_set(preference, kPreferWorkspace, &kWorkspace, sizeof kWorkspace) == 0;
  LtHeuristic found{};
  int count = 0;
  ok = ok &&
       s.heuristic(s.lt_handle, description, lb, la, ld, ld, preference, 1, &found, &count) == 0;
  const float alpha = 1.0F;
  const float beta = 0.0F;
  return ok && count > 0 &&
         s.matmul(s.lt_handle, description, &alpha, b, lb, a, la, &beta, d, ld, d, ld,
                  &found.algorithm, s.workspace, kWorkspace, stream) == 0;
}

}  // namespace assay::kernels::cuda
