// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include <array>
#include <stdexcept>

#include "kernels/cuda/check.h"
#include "kernels/cuda/probe.h"
#include "kernels/cuda/probe_instructions.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int threads = 128;
constexpr int most_k = 32;

/// Codes of a tile; a warpgroup computes its 64 x 8 outputs, a warp 16 rows of them.
struct Shared {
  std::uint32_t a[probe_rows * most_k];
  std::uint32_t b[probe_cols * most_k];
  std::uint32_t c[probe_rows * probe_cols];
  std::uint32_t d[probe_rows * probe_cols];
  alignas(128) unsigned char matrices[(probe_rows + probe_cols) * 32];  ///< what wgmma reads
};

/// D of the tile in `s`, by one instruction. The build has machine code for other architectures
/// too, which have other instructions; probe_gpu() keeps their machines away from here.
template <class Instruction>
__device__ void compute(Shared& s) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  if constexpr (Instruction::warpgroup)
    warpgroup_tile<Instruction>(s.a, s.b, s.c, s.d, s.matrices);
  else
    warp_tile<Instruction>(s.a, s.b, s.c, s.d);
#endif
  __syncthreads();
}

template <class Instruction>
__global__ void __launch_bounds__(threads)
    tile_kernel(const std::uint32_t* a, const std::uint32_t* b, const std::uint32_t* c,
                std::uint32_t* d) {
  __shared__ Shared s;
  for (int i = threadIdx.x; i < probe_rows * Instruction::k; i += threads) s.a[i] = a[i];
  for (int i = threadIdx.x; i < probe_cols * Instruction::k; i += threads) s.b[i] = b[i];
  for (int i = threadIdx.x; i < probe_rows * probe_cols; i += threads) s.c[i] = c[i];
  __syncthreads();
  compute<Instruction>(s);
  for (int i = threadIdx.x; i < probe_rows * probe_cols; i += threads) d[i] = s.d[i];
}

struct Counters {
  unsigned long long mismatches, digest;
  ProbeMismatch first[4];
};

__device__ std::uint64_t hashed(std::uint64_t index, std::uint32_t bits) {
  std::uint64_t x = index * 0x9E3779B97F4A7C15U + bits;  // splitmix64's finalizer
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
  x = (x ^ x >> 27) * 0x94D049BB133111EBU;
  return x ^ x >> 31;
}

template <class Instruction>
__global__ void __launch_bounds__(threads)
    probe_kernel(simulator::MmaUnit unit, ProbeFamily family, std::uint64_t seed,
                 std::uint64_t first, std::uint64_t tiles, Counters* counters) {
  __shared__ Shared s;
  constexpr int k = Instruction::k;
  unsigned long long digest = 0;
  for (std::uint64_t tile = first + blockIdx.x; tile < first + tiles; tile += gridDim.x) {
    const auto draw = [&](ProbeRole role, int row, int at, const simulator::UnitFormat& f) {
      return draw_probe_code({seed, tile, family, role, row, at}, f, unit.fraction_bits);
    };
    for (int i = threadIdx.x; i < probe_rows * k; i += threads)
      s.a[i] = draw(ProbeRole::a, i / k, i % k, unit.a);
    for (int i = threadIdx.x; i < probe_cols * k; i += threads)
      s.b[i] = draw(ProbeRole::b, i / k, i % k, unit.b);
    for (int i = threadIdx.x; i < probe_rows * probe_cols; i += threads)
      s.c[i] = draw(ProbeRole::c, i / probe_cols, i % probe_cols, unit.d);
    __syncthreads();
    compute<Instruction>(s);
    for (int i = threadIdx.x; i < probe_rows * probe_cols; i += threads) {
      const int row = i / probe_cols;
      const int col = i % probe_cols;
      const std::uint32_t expected = unit_dot(
          unit, [&](int j) { return s.a[row * k + j]; }, [&](int j) { return s.b[col * k + j]; }, k,
          s.c[i]);
      const std::uint32_t observed = s.d[i];
      digest += hashed(tile * (probe_rows * probe_cols) + i, observed);
      if (observed == expected) continue;
      const unsigned long long n = atomicAdd(&counters->mismatches, 1ULL);
      if (n < 4) counters->first[n] = {tile, row, col, observed, expected};
    }
    __syncthreads();
  }
  atomicAdd(&counters->digest, digest);
}

struct Entry {
  ProbeInstruction instruction;
  void (*tile)(const std::uint32_t*, const std::uint32_t*, const std::uint32_t*, std::uint32_t*);
  void (*probe)(simulator::MmaUnit, ProbeFamily, std::uint64_t, std::uint64_t, std::uint64_t,
                Counters*);
};

template <class Instruction>
Entry entry() {
  return {{Instruction::model, Instruction::mnemonic, Instruction::k},
          tile_kernel<Instruction>,
          probe_kernel<Instruction>};
}

template <class... Instructions>
std::array<Entry, sizeof...(Instructions)> entries_of(InstructionList<Instructions...>) {
  return {entry<Instructions>()...};
}

const auto& entries() {
  static const auto all = entries_of(AllInstructions{});
  return all;
}

const Entry& find(const ProbeInstruction& instruction) {
  for (const Entry& e : entries())
    if (e.instruction.mnemonic == instruction.mnemonic) return e;
  throw std::invalid_argument(std::string("no probe runs ") + instruction.mnemonic);
}

}  // namespace

std::span<const ProbeInstruction> probe_instructions() {
  static const std::vector<ProbeInstruction> all = [] {
    std::vector<ProbeInstruction> list;
    for (const Entry& e : entries()) list.push_back(e.instruction);
    return list;
  }();
  return all;
}

void run_probe_tile(const ProbeInstruction& instruction, ProbeTile& tile) {
  const Entry& e = find(instruction);
  const auto k = static_cast<std::size_t>(instruction.k);
  if (tile.a.size() != probe_rows * k || tile.b.size() != probe_cols * k ||
      tile.c.size() != probe_rows * probe_cols)
    throw std::invalid_argument("a probe's tile has 64 x k, 8 x k and 64 x 8 codes");
  const DeviceBuffer<std::uint32_t> a(std::span<const std::uint32_t>(tile.a));
  const DeviceBuffer<std::uint32_t> b(std::span<const std::uint32_t>(tile.b));
  const DeviceBuffer<std::uint32_t> c(std::span<const std::uint32_t>(tile.c));
  DeviceBuffer<std::uint32_t> d(tile.c.size());
  e.tile<<<1, threads>>>(const_cast<DeviceBuffer<std::uint32_t>&>(a).data(),
                         const_cast<DeviceBuffer<std::uint32_t>&>(b).data(),
                         const_cast<DeviceBuffer<std::uint32_t>&>(c).data(), d.data());
  check_kernel(instruction.mnemonic);
  tile.d.resize(tile.c.size());
  d.copy_to(tile.d);
}

ProbeCount probe_tiles(const ProbeInstruction& instruction, const simulator::MmaUnit& unit,
                       ProbeFamily family, std::uint64_t seed, std::uint64_t first,
                       std::uint64_t tiles) {
  DeviceBuffer<Counters> counters(1);
  counters.fill(0);
  const auto blocks = static_cast<unsigned>(tiles < 8192 ? tiles : 8192);
  find(instruction).probe<<<blocks, threads>>>(unit, family, seed, first, tiles, counters.data());
  check_kernel(instruction.mnemonic);
  Counters result{};
  counters.copy_to({&result, 1});
  ProbeCount count{tiles * probe_rows * probe_cols, result.mismatches, result.digest, {}};
  for (std::uint64_t i = 0; i < result.mismatches && i < 4; ++i)
    count.first.push_back(result.first[i]);
  return count;
}

std::string probe_gpu(int device, std::string& reason) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    reason = "no CUDA GPU is visible";
    return {};
  }
  if (device < 0 || device >= count) {
    reason = "there is no GPU " + std::to_string(device) + "; " + std::to_string(count) +
             " are visible, from 0 on";
    return {};
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  if (properties.major != 9) {
    reason = std::string(properties.name) + " has compute capability " +
             std::to_string(properties.major) + "." + std::to_string(properties.minor) +
             "; the probe has instructions of 9.0";
    return {};
  }
  check(cudaSetDevice(device), "cudaSetDevice");
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  return std::string(properties.name) + ", CUDA driver " + std::to_string(driver / 1000) + "." +
         std::to_string(driver % 1000 / 10);
}

}  // namespace assay::kernels::cuda
