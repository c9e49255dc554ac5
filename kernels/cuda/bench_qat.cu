// SPDX-License-Identifier: Apache-2.0
// The elementwise parts of a QAT step against the bandwidth of a device copy. Results are compared
// with plain kernels, a thread a block, that use CUDA's own conversions and divisions.
#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include "formats/philox.h"
#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/master_update.cuh"
#include "kernels/cuda/qat.cuh"
#include "kernels/cuda/qat_elements.cuh"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr std::int64_t kRows = 8192;
constexpr std::int64_t kCols = 8192;
constexpr std::int64_t kCount = kRows * kCols;
constexpr unsigned long long kOne = 1;

__device__ bool same_bits(float a, float b) { return __float_as_uint(a) == __float_as_uint(b); }

/// FP32 numbers of a plain evaluation: block by block, in the order that qat_elements.cuh states.
struct PlainBlock {
  float scale;
  float tensor_scale;
  float q[32];
};

__device__ PlainBlock plain_block(QatOrder order, const float* w, int block, float amax_tensor,
                                  float given) {
  PlainBlock out{};
  float amax = 0.0F;
  for (int i = 0; i < block; ++i) amax = fmaxf(amax, fabsf(w[i]));
  float factor = 0.0F;
  out.tensor_scale = 1.0F;
  if (order == QatOrder::nvfp4_te) {
    const float encode = 2688.0F / amax_tensor;
    out.tensor_scale = 1.0F / encode;
    out.scale = decode_ue4m3(
        __nv_cvt_float_to_fp8(amax * (encode * (1.0F / 6.0F)), __NV_SATFINITE, __NV_E4M3));
    factor = 1.0F / (out.scale * out.tensor_scale);
  } else if (order == QatOrder::nvfp4_divide) {
    out.tensor_scale = amax_tensor / 2688.0F;
    out.scale = decode_ue4m3(
        __nv_cvt_float_to_fp8(amax / 6.0F / out.tensor_scale, __NV_SATFINITE, __NV_E4M3));
    factor = out.scale * out.tensor_scale;
  } else if (order == QatOrder::mxfp4_rceil) {
    out.scale = decode_e8m0(__nv_cvt_float_to_e8m0(amax / 6.0F, __NV_SATFINITE, cudaRoundPosInf));
    factor = out.scale;
  } else {
    out.scale = given;
    factor = given;
  }
  for (int i = 0; i < block; ++i) {
    const float u = order == QatOrder::nvfp4_te ? w[i] * factor : w[i] / factor;
    out.q[i] = decode_e2m1(__nv_cvt_float_to_fp4(u, __NV_E2M1, cudaRoundNearest));
  }
  return out;
}

struct Check {
  QatOrder order;
  Estimator estimator;
  float parameter;
  QatWeights weights;
  const float *given, *value, *g, *dw, *dscale;
  const unsigned* amax_bits;
  unsigned long long* wrong;
};

__global__ void check_forward(Check c) {
  const int block = block_of(c.order);
  const std::int64_t blocks = kCount / block;
  for (std::int64_t b = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; b < blocks;
       b += std::int64_t{gridDim.x} * blockDim.x) {
    const PlainBlock p = plain_block(c.order, c.weights.w + b * block, block,
                                     __uint_as_float(*c.amax_bits), c.given[b]);
    unsigned long long differ = !same_bits(p.scale, c.weights.scales[b]);
    for (int i = 0; i < block; ++i)
      differ += !same_bits(p.q[i] * p.scale * p.tensor_scale, c.value[b * block + i]);
    if (differ != 0) atomicAdd(c.wrong, differ);
  }
}

// Masks and factors by their definitions in FP64; sums in the stated order.
__global__ void check_backward(Check c) {
  const int block = block_of(c.order);
  const std::int64_t blocks = kCount / block;
  for (std::int64_t b = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; b < blocks;
       b += std::int64_t{gridDim.x} * blockDim.x) {
    const float* w = c.weights.w + b * block;
    const PlainBlock p = plain_block(c.order, w, block, __uint_as_float(*c.amax_bits), c.given[b]);
    const double s = double{p.scale} * p.tensor_scale;
    double fours[8] = {};
    unsigned long long differ = 0;
    for (int i = 0; i < block; ++i) {
      const double x = w[i];
      const float g = c.g[b * block + i];
      const bool closed = fabs(x) <= 6.0 * s;
      const bool open = fabs(x) < 6.0 * s;
      const double clipped = copysign(6.0, x);
      float expected = closed ? g : 0.0F;
      if (c.estimator == Estimator::pact) expected = open ? g : 0.0F;
      if (c.estimator == Estimator::trust_mask)
        expected = fabs(x - p.q[i] * s) <= c.parameter * s ? g : 0.0F;
      if (c.estimator == Estimator::ewgs && closed) {
        const float difference = c.parameter * (static_cast<float>(x * (1.0 / s)) - p.q[i]);
        expected = (g < 0.0F ? 1.0F - difference : 1.0F + difference) * g;
      }
      if (c.estimator == Estimator::dge && closed) {
        const float u = static_cast<float>(fabs(x) * (1.0 / s));
        const float width = u < 2.0F ? 0.5F : u < 4.0F ? 1.0F : 2.0F;
        const float z = fabsf(2.0F * (u - width * floorf(u / width)) / width - 1.0F);
        const double slope = z == 0.0F ? 3.0 : fmin(3.0, 0.2 * pow(double{z}, -0.8));
        // minus_four_fifths errs by 12 2^-24, 0.2F and its product by 2 2^-24, G by one more.
        const double exact = slope * double{g};
        expected = fabs(double{c.dw[b * block + i]} - exact) <= 15.1 * 0x1p-24 * fabs(exact)
                       ? c.dw[b * block + i]
                       : static_cast<float>(exact);
      }
      differ += !same_bits(expected, c.dw[b * block + i]);
      if (c.estimator == Estimator::lsq)
        fours[i / 4] += double{g} * (closed ? double{p.q[i]} - x * (1.0 / s) : clipped);
      if (c.estimator == Estimator::pact) fours[i / 4] += open ? 0.0 : double{g} * clipped;
    }
    if (c.estimator == Estimator::lsq || c.estimator == Estimator::pact) {
      for (int step = 1; step < block / 4; step *= 2)
        for (int i = 0; i + step < block / 4; i += 2 * step) fours[i] += fours[i + step];
      const double root = c.estimator == Estimator::lsq ? sqrt(6.0 * block) : 1.0;
      differ += !same_bits(static_cast<float>(p.tensor_scale / root * fours[0]), c.dscale[b]);
    }
    if (differ != 0) atomicAdd(c.wrong, differ);
  }
}

__global__ void check_sums(const float* dy, const float* dbias, unsigned long long* wrong) {
  const std::int64_t col = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (col >= kCols) return;
  double sum = 0;
  double magnitude = 0;
  for (std::int64_t row = 0; row < kRows; ++row) {
    sum += dy[row * kCols + col];
    magnitude += fabs(double{dy[row * kCols + col]});
  }
  // A number passes at most 63 + rows/64 additions, each off by at most 2^-24 of the magnitude.
  if (!(fabs(sum - dbias[col]) <= 1.01 * (64 + kRows / 64) * 0x1p-24 * magnitude))
    atomicAdd(wrong, kOne);
}

// By searching the two neighbours of the exact number in FP64, whose 53 bits hold these sums: the
// data have exponents close to each other.
__global__ void check_masters(MasterTask t, const std::uint16_t* before,
                              unsigned long long* wrong) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < t.count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const double exact = double{__bfloat162float(__ushort_as_bfloat16(before[i]))} -
                         double{t.rate} * double{t.gradients[i]} / double{t.loss_scale};
    const std::uint32_t truncated = __float_as_uint(__double2float_rz(exact)) & 0xFFFF0000U;
    const double low = fabs(double{__uint_as_float(truncated)});
    const double gap = fabs(double{__uint_as_float(truncated + 0x10000U)}) - low;
    const double fraction = (fabs(exact) - low) / gap;
    bool up = fraction > 0.5 || (fraction == 0.5 && (truncated >> 16 & 1U) != 0);
    if (t.random_bits > 0) {
      const std::uint32_t word =
          formats::philox_bits(t.seed, static_cast<std::uint64_t>(i), t.random_bits);
      up = floor(fraction * (1U << t.random_bits)) + word >= 1U << t.random_bits;
    }
    if (t.masters[i] != static_cast<std::uint16_t>((truncated >> 16) + (up ? 1U : 0U)))
      atomicAdd(wrong, kOne);
  }
}

struct Arrays {
  DeviceBuffer<float> w{kCount}, value{kCount}, dy{kCount}, dw{kCount};
  DeviceBuffer<float> scales{kCount / 16}, given{kCount / 16}, dscale{kCount / 16};
  DeviceBuffer<float> tensor_scale{1}, dbias{kCols}, partial{kRows / kSumRows * kCols};
  DeviceBuffer<unsigned> amax{1}, skip{1};
  DeviceBuffer<std::uint16_t> masters{kCount}, before{kCount};
  DeviceBuffer<unsigned long long> wrong{1};

  std::int64_t count_wrong() {
    unsigned long long n = 0;
    wrong.copy_to({&n, 1});
    wrong.fill(0);
    return static_cast<std::int64_t>(n);
  }
};

/// Learned scale factors near a third of a Gaussian weight's deviation, so that some are clipped.
__global__ void make_scales(float* scales, std::int64_t count) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x)
    scales[i] = 0.25F + 0.25F * fabsf(scales[i]);
}

constexpr const char* kOrders[] = {"nvfp4", "nvfp4-divide", "mxfp4-rceil", "learned 16",
                                   "learned 32"};

void add(const BenchContext& context, const std::string& kernel, double bytes, double goal,
         std::int64_t checked, std::int64_t wrong, const std::function<void(cudaStream_t)>& run) {
  BenchRow row{.suite = "qat", .kernel = kernel, .m = kRows, .k = kCols};
  const Times t =
      time_launches(context.options.repeats, 4, [&](int, cudaStream_t stream) { run(stream); });
  row.microseconds = t.median;
  row.best = t.best;
  row.bytes = bytes;
  row.baseline = "device copy";
  row.ratio = bytes / (t.median * 1e-6) / context.result.machine.copy_bytes_per_second;
  row.goal = goal;
  row.checked = checked;
  row.wrong = wrong;
  context.result.rows.push_back(row);
}

void bench_order(const BenchContext& context, QatOrder order, Arrays& a) {
  const QatWeights weights{a.w.data(), kRows, kCols, a.scales.data(), a.tensor_scale.data()};
  const std::string name = std::string("qat ") + kOrders[static_cast<int>(order)];
  const std::int64_t blocks = kCount / block_of(order);
  const auto n = static_cast<double>(kCount);
  const double scale_bytes = 4.0 * static_cast<double>(blocks);
  const float* given = is_learned(order) ? a.given.data() : nullptr;
  const auto forward = [&](cudaStream_t stream) {
    launch_fake_quantize(order, weights, given, a.amax.data(), a.value.data(), stream);
  };
  for (DeviceBuffer<float>* out : {&a.value, &a.scales, &a.tensor_scale}) out->fill(0xFF);
  forward(nullptr);
  check_kernel("fake_quantize");
  Check plain{order,           Estimator::identity, 0.0F,          weights,
              a.given.data(),  a.value.data(),      a.dy.data(),   a.dw.data(),
              a.dscale.data(), a.amax.data(),       a.wrong.data()};
  check_forward<<<4096, 256>>>(plain);
  check_kernel("check_forward");
  add(context, name + " forward, amax known", 8.0 * n + scale_bytes * (is_learned(order) ? 2 : 1),
      0.75, kCount + blocks, a.count_wrong(), forward);
  for (int e = 1; e < static_cast<int>(estimator_names.size()); ++e) {
    const auto estimator = static_cast<Estimator>(e);
    const float parameter = estimator == Estimator::ewgs         ? 0.3F
                            : estimator == Estimator::trust_mask ? 0.5F
                                                                 : 0.0F;
    plain.estimator = estimator;
    plain.parameter = parameter;
    check(cudaMemcpy(a.dw.data(), a.dy.data(), kCount * 4, cudaMemcpyDeviceToDevice), "cudaMemcpy");
    a.dscale.fill(0xFF);
    const auto backward = [&](cudaStream_t stream) {
      launch_estimate(order, estimator, weights, parameter, a.dw.data(), a.dscale.data(), stream);
    };
    backward(nullptr);
    check_kernel("estimate");
    check_backward<<<4096, 256>>>(plain);
    check_kernel("check_backward");
    const bool scaled = has_scale_gradient(estimator);
    add(context, name + " backward " + std::string(estimator_names[static_cast<std::size_t>(e)]),
        12.0 * n + scale_bytes * (scaled ? 2 : 1), 0.75, kCount + (scaled ? blocks : 0),
        a.count_wrong(), backward);
  }
}

void bench_masters(const BenchContext& context, Arrays& a, int bits) {
  const MasterTask task{a.masters.data(),     a.dy.data(),  kCount, 0.01F, 1024.0F, bits,
                        context.options.seed, a.skip.data()};
  a.skip.fill(0);
  fill_words(a.masters.data(), kCount * 2, context.options.seed + 5, WordKind::gaussian_bf16);
  check(cudaMemcpy(a.before.data(), a.masters.data(), kCount * 2, cudaMemcpyDeviceToDevice),
        "cudaMemcpy");
  launch_find_not_finite(task, nullptr);
  launch_update_masters(task, nullptr);
  check_kernel("update_masters");
  check_masters<<<4096, 256>>>(task, a.before.data(), a.wrong.data());
  check_kernel("check_masters");
  const std::int64_t wrong = a.count_wrong();
  const std::string rounding = bits == 0 ? "nearest" : "stochastic";
  add(context, "bf16 master update, " + rounding, 8.0 * static_cast<double>(kCount), 0.75, kCount,
      wrong, [&](cudaStream_t stream) { launch_update_masters(task, stream); });
  add(context, "bf16 master update, " + rounding + ", gradients tested",
      12.0 * static_cast<double>(kCount), 0.75, 0, 0, [&](cudaStream_t stream) {
        launch_find_not_finite(task, stream);
        launch_update_masters(task, stream);
      });
}

}  // namespace

void bench_qat(const BenchContext& context) {
  Arrays a;
  const std::uint64_t seed = context.options.seed;
  fill_words(a.w.data(), kCount * 4, seed + 1, WordKind::gaussian_f32);
  fill_words(a.dy.data(), kCount * 4, seed + 2, WordKind::gaussian_f32);
  fill_words(a.given.data(), kCount / 16 * 4, seed + 3, WordKind::gaussian_f32);
  make_scales<<<1024, 256>>>(a.given.data(), kCount / 16);
  a.wrong.fill(0);
  QuantizeTask amax{a.w.data(), false, kRows, kCols, {}, nullptr, nullptr};
  amax.amax_bits = a.amax.data();
  launch_amax(amax, nullptr);
  check_kernel("amax");
  for (int order = 0; order < 5; ++order) bench_order(context, static_cast<QatOrder>(order), a);
  const auto sums = [&](cudaStream_t stream) {
    launch_column_sums(a.dy.data(), kRows, kCols, a.partial.data(), a.dbias.data(), stream);
  };
  a.dbias.fill(0xFF);
  sums(nullptr);
  check_kernel("column_sums");
  check_sums<<<kCols / 256, 256>>>(a.dy.data(), a.dbias.data(), a.wrong.data());
  check_kernel("check_sums");
  add(context, "qat dbias", 4.0 * static_cast<double>(kCount), 0.75, kCols, a.count_wrong(), sums);
  bench_masters(context, a, 0);
  bench_masters(context, a, 16);
}

}  // namespace assay::kernels::cuda
