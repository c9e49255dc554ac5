// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>

#include "formats/codec.h"
#include "formats/presets.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/exact_gemm.h"
#include "kernels/cuda/exact_gemm_product.cuh"

namespace assay::kernels::cuda {
namespace {

using exact::Operand;
using exact::Part;
using exact::RowRange;
using formats::BlockScaledTensor;

/// A block a row.
__global__ void range_kernel(Operand o, RowRange* ranges) {
  __shared__ int low, high, special;
  if (threadIdx.x == 0) {
    low = exact::no_low;
    high = -exact::no_low;
    special = 0;
  }
  __syncthreads();
  const std::int64_t row = blockIdx.x;
  int own_low = exact::no_low;
  int own_high = -exact::no_low;
  bool own_special = false;
  for (std::int64_t k = threadIdx.x; k < o.k; k += blockDim.x) {
    const exact::Number x = exact::number_at(o, row, k);
    own_special = own_special || x.special;
    if (x.significand == 0) continue;
    const auto magnitude = static_cast<unsigned long long>(
        x.significand < 0 ? -x.significand : x.significand);  // odd: no zeros to strip
    own_low = min(own_low, x.exponent);
    own_high = max(own_high, x.exponent + 64 - __clzll(static_cast<long long>(magnitude)));
  }
  atomicMin(&low, own_low);
  atomicMax(&high, own_high);
  if (own_special) special = 1;
  __syncthreads();
  if (threadIdx.x != 0) return;
  RowRange range{low, high, special, 0, 0, 0};
  exact::set_factor(o, row, range);
  ranges[row] = range;
}

/// A thread for 16 k of a row of `padded` rows.
__global__ void digits_kernel(Operand o, const RowRange* ranges, int planes, int tile,
                              std::int64_t padded, std::int64_t steps, std::uint8_t* to) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t row = index / (steps * 4);
  const std::int64_t first = index % (steps * 4) * 16;
  if (row >= padded) return;
  alignas(16) std::int8_t digits[exact::most_planes][16] = {};
  if (row < o.rows && exact::fits(ranges[row], planes))
    for (int i = 0; i < 16 && first + i < o.k; ++i) {
      const exact::Number x = exact::number_at(o, row, first + i);
      if (x.significand == 0) continue;
      std::int64_t integer = x.significand * (std::int64_t{1} << (x.exponent - ranges[row].low));
      for (int p = 0; p < planes; ++p) digits[p][i] = exact::next_digit(integer);
    }
  for (int p = 0; p < planes; ++p)
    *reinterpret_cast<uint4*>(to + exact::digit_at(planes, tile, steps, row, first, p)) =
        *reinterpret_cast<const uint4*>(digits[p]);
}

/// Elements whose row or column has no digits; planes 0: all.
__global__ void wide_kernel(Operand a, Operand b, const RowRange* left, const RowRange* right,
                            int planes, std::uint32_t* d) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= a.rows * b.rows) return;
  const std::int64_t i = index / b.rows;
  const std::int64_t j = index % b.rows;
  if (planes != 0 && exact::fits(left[i], planes) && exact::fits(right[j], planes)) return;
  d[index] = exact::wide_dot(a, i, left[i], b, j, right[j]);
}

std::vector<Part> table_of(const formats::FormatSpec& spec) {
  std::vector<Part> table(256);
  for (std::uint32_t code = 0; code < 256; ++code)
    table[code] =
        exact::part_of_bits(__builtin_bit_cast(std::uint32_t, formats::decode(spec, code)));
  return table;
}

void require(const BlockScaledTensor& t) {
  const formats::BlockFormat& f = *t.format;
  if (f.element->storage_bits > 8 || f.scale->storage_shift != 0 ||
      (f.scale->storage_bits > 8 && f.scale != &formats::bf16 && f.scale != &formats::fp32))
    throw std::invalid_argument("exact GEMM: " + std::string(f.name) +
                                " needs elements of at most 8 bits and scale factors in 8 bits, "
                                "BF16 or FP32");
  if (t.layout != formats::Layout::row_major || t.scale_layout != formats::ScaleLayout::row_major)
    throw std::invalid_argument("exact GEMM: codes and scale factors must be row-major");
}

class DeviceOperand {
 public:
  explicit DeviceOperand(const BlockScaledTensor& t)
      : steps_((t.cols + exact::step_k - 1) / exact::step_k),
        codes_(std::span(t.codes)),
        scales_(std::span(t.scales)),
        elements_(std::span<const Part>(table_of(*t.format->element))),
        scale_table_(std::span<const Part>(
            t.format->scale->storage_bits == 8 ? table_of(*t.format->scale) : std::vector<Part>())),
        ranges_(static_cast<std::size_t>(t.rows)),
        host_ranges_(static_cast<std::size_t>(t.rows)) {
    const formats::BlockFormat& f = *t.format;
    const std::int64_t columns = f.block.cols == 0 ? t.cols : f.block.cols;
    const bool nibbles = f.element->storage_bits == 4;
    operand_ = {codes_.data(),
                scales_.data(),
                elements_.data(),
                scale_table_.data(),
                t.rows,
                t.cols,
                nibbles ? (t.cols + 1) / 2 : t.cols,
                f.block.rows == 0 ? t.rows : f.block.rows,
                columns,
                (t.cols + columns - 1) / columns,
                f.scale->storage_bits / 8,
                nibbles,
                columns >= t.cols,
                f.tensor_scale == formats::TensorScale::fp32 ? t.tensor_scale : 1.0F};
  }

  void find_ranges() {
    range_kernel<<<static_cast<unsigned>(operand_.rows), 128>>>(operand_, ranges_.data());
    ranges_.copy_to(host_ranges_);
  }

  /// The fewest planes that hold every row that any number of planes holds.
  [[nodiscard]] int planes() const {
    int most = 0;
    for (const RowRange& r : host_ranges_)
      for (int p = 1; p <= exact::most_planes; ++p)
        if (exact::fits(r, p)) {
          most = std::max(most, p);
          break;
        }
    return most;
  }
  [[nodiscard]] std::int64_t without_digits(int planes) const {
    return std::count_if(host_ranges_.begin(), host_ranges_.end(),
                         [&](const RowRange& r) { return !exact::fits(r, planes); });
  }

  const std::uint8_t* make_digits(int planes, int tile) {
    const std::int64_t padded = (operand_.rows + tile - 1) / tile * tile;
    auto& buffer = digits_[planes];
    if (buffer == nullptr)
      buffer = std::make_unique<DeviceBuffer<std::uint8_t>>(
          static_cast<std::size_t>(padded * steps_ * exact::step_k * planes));
    const std::int64_t threads = padded * steps_ * 4;
    digits_kernel<<<static_cast<unsigned>((threads + 255) / 256), 256>>>(
        operand_, ranges_.data(), planes, tile, padded, steps_, buffer->data());
    return buffer->data();
  }

  [[nodiscard]] const Operand& operand() const { return operand_; }
  const RowRange* ranges() { return ranges_.data(); }
  [[nodiscard]] std::int64_t steps() const { return steps_; }

 private:
  std::int64_t steps_;
  DeviceBuffer<std::uint8_t> codes_, scales_;
  DeviceBuffer<Part> elements_, scale_table_;
  DeviceBuffer<RowRange> ranges_;
  std::vector<RowRange> host_ranges_;
  std::map<int, std::unique_ptr<DeviceBuffer<std::uint8_t>>> digits_;
  Operand operand_{};
};

template <int planes>
void multiply_planes(DeviceOperand& a, DeviceOperand& b, std::uint32_t* d) {
  constexpr int columns = exact::tile_columns<planes>;
  const std::int64_t m = a.operand().rows;
  const std::int64_t n = b.operand().rows;
  const std::uint8_t* left = a.make_digits(planes, exact::tile_rows);
  const std::uint8_t* right = b.make_digits(planes, columns);
  const auto kernel = &exact::product_kernel<planes>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             exact::shared_bytes<planes>),
        "cudaFuncSetAttribute");
  const std::int64_t tiles =
      (m + exact::tile_rows - 1) / exact::tile_rows * ((n + columns - 1) / columns);
  const auto blocks = static_cast<unsigned>(tiles);
  constexpr int shared = exact::shared_bytes<planes>;
  kernel<<<blocks, exact::product_threads, shared>>>(left, right, a.ranges(), b.ranges(), d, m, n,
                                                     a.steps());
}

/// The numbers of planes that kernels exist for.
constexpr int offered_planes[] = {2, 3, 4, 6};

/// From codes to D; returns the planes.
int compute(DeviceOperand& a, DeviceOperand& b, std::uint32_t* d, bool digits,
            std::int64_t& wide_outputs) {
  const std::int64_t m = a.operand().rows;
  const std::int64_t n = b.operand().rows;
  a.find_ranges();
  b.find_ranges();
  const int needed = digits ? std::max(a.planes(), b.planes()) : 0;
  int planes = 0;
  if (needed != 0)
    planes = *std::find_if(std::begin(offered_planes), std::end(offered_planes),
                           [&](int p) { return p >= needed; });
  if (planes * a.operand().k >= exact::most_sum) planes = 0;
  wide_outputs = m * n;
  if (planes != 0) wide_outputs -= (m - a.without_digits(planes)) * (n - b.without_digits(planes));
  if (planes == 2) multiply_planes<2>(a, b, d);
  if (planes == 3) multiply_planes<3>(a, b, d);
  if (planes == 4) multiply_planes<4>(a, b, d);
  if (planes == 6) multiply_planes<6>(a, b, d);
  if (wide_outputs != 0)
    wide_kernel<<<static_cast<unsigned>((m * n + 127) / 128), 128>>>(
        a.operand(), b.operand(), a.ranges(), b.ranges(), planes, d);
  check_kernel("exact GEMM");
  return planes;
}

struct Seen {
  unsigned long long wrong, first, worst;  ///< worst: bits of a non-negative double
};

__global__ void compare_kernel(const float* d, const std::uint32_t* exact,
                               const std::uint32_t* magnitudes, std::int64_t count,
                               double roundings, Seen* seen) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const double reference = __uint_as_float(exact[i]);
    const double allowed =
        0x1p-24 *
        (roundings * (1 + 0x1p-23) * double{__uint_as_float(magnitudes[i])} + fabs(reference));
    const double error = fabs(double{d[i]} - reference);
    const bool both_nan = isnan(d[i]) && isnan(reference);
    const bool same = double{d[i]} == reference || both_nan;  // infinities too
    if (same) continue;
    if (!(error <= allowed)) {
      atomicAdd(&seen->wrong, 1ULL);
      atomicMin(&seen->first, static_cast<unsigned long long>(i));
    } else {
      atomicMax(&seen->worst,
                static_cast<unsigned long long>(__double_as_longlong(error / allowed)));
    }
  }
}

/// The same tensor without signs.
BlockScaledTensor magnitudes_of(const BlockScaledTensor& t) {
  if (t.format->scale->sign_bits != 0)
    throw std::invalid_argument("exact GEMM check: the scale factors must be unsigned");
  BlockScaledTensor out = t;
  const std::uint8_t mask = t.format->element->storage_bits == 4 ? 0x77 : 0x7F;
  for (std::uint8_t& byte : out.codes) byte &= mask;
  out.tensor_scale = std::abs(t.tensor_scale);
  return out;
}

void require_product(const BlockScaledTensor& a, const BlockScaledTensor& b) {
  require(a);
  require(b);
  if (a.cols != b.cols || a.cols < 1 || a.rows < 1 || b.rows < 1)
    throw std::invalid_argument("exact GEMM: A is " + std::to_string(a.rows) + " x " +
                                std::to_string(a.cols) + " and B " + std::to_string(b.rows) +
                                " x " + std::to_string(b.cols) + "; both must have k columns");
}

}  // namespace

ExactCheck exact_gemm_check(const BlockScaledTensor& a, const BlockScaledTensor& b, const float* d,
                            double roundings) {
  require_product(a, b);
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
  const std::int64_t count = a.rows * b.rows;
  DeviceBuffer<std::uint32_t> exact(static_cast<std::size_t>(count));
  DeviceBuffer<std::uint32_t> magnitudes(static_cast<std::size_t>(count));
  std::int64_t wide = 0;
  for (const bool absolute : {false, true}) {
    DeviceOperand left(absolute ? magnitudes_of(a) : a);
    DeviceOperand right(absolute ? magnitudes_of(b) : b);
    compute(left, right, (absolute ? magnitudes : exact).data(), major == 9, wide);
  }
  const Seen nothing{0, ~0ULL, 0};
  DeviceBuffer<Seen> seen{std::span<const Seen>(&nothing, 1)};
  compare_kernel<<<1024, 256>>>(d, exact.data(), magnitudes.data(), count, roundings, seen.data());
  check_kernel("exact GEMM check");
  Seen result{};
  seen.copy_to({&result, 1});
  return {count, static_cast<std::int64_t>(result.wrong),
          result.wrong == 0 ? -1 : static_cast<std::int64_t>(result.first),
          __builtin_bit_cast(double, result.worst)};
}

ExactGemmRun exact_gemm(const BlockScaledTensor& a, const BlockScaledTensor& b, int repeats,
                        bool digits) {
  require_product(a, b);
  DeviceOperand left(a);
  DeviceOperand right(b);
  ExactGemmRun run;
  run.d.resize(static_cast<std::size_t>(a.rows * b.rows));
  DeviceBuffer<std::uint32_t> d(run.d.size());
  d.fill(0xFF);
  cudaEvent_t begin{};
  cudaEvent_t end{};
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<float> times;
  for (int i = 0; i <= repeats; ++i) {  // the first warms up
    check(cudaEventRecord(begin), "cudaEventRecord");
    run.planes = compute(left, right, d.data(), digits, run.wide_outputs);
    check(cudaEventRecord(end), "cudaEventRecord");
    check(cudaEventSynchronize(end), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (i > 0 || repeats == 0) times.push_back(milliseconds);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                   times.end());
  run.seconds = 1e-3 * static_cast<double>(times[times.size() / 2]);
  d.copy_to(run.d);
  return run;
}

std::string exact_gemm_gpu(int device, bool& has_digits, std::string& reason) {
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
  check(cudaSetDevice(device), "cudaSetDevice");
  has_digits = properties.major == 9 && properties.minor == 0;
  return properties.name;
}

}  // namespace assay::kernels::cuda
