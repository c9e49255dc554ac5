// SPDX-License-Identifier: Apache-2.0
// Devices whose arithmetic is right and whose conduct is not: they cheat, forget, or touch what is
// not theirs.
#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>

#include "kernels/mutants/wrapper.h"
#include "kernels/mutants/wrong_steps.h"

namespace assay::kernels::mutants {
namespace {

class WritesNothing final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status quantize(const Claim&, std::span<const float>,
                  formats::BlockScaledTensor&) const override {
    return Status::ok;
  }
  Status gemm(const Claim&, const GemmCall&) const override { return Status::ok; }
};

/// Returns the first answer it computed for a shape, as a cache keyed too coarsely does.
class StaleAnswer final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status gemm(const Claim& claim, const GemmCall& call) const override {
    const std::array key{call.m, call.n, call.k};
    const std::lock_guard lock(mutex_);
    const auto found = cache_.find(key);
    if (found != cache_.end()) {
      std::copy(found->second.begin(), found->second.end(), call.d.begin());
      return Status::ok;
    }
    const Status status = inner().gemm(claim, call);
    cache_[key].assign(call.d.begin(), call.d.end());
    return status;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::map<std::array<std::int64_t, 3>, std::vector<float>> cache_;
};

/// Uses an input as scratch space.
class WritesInputs final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status quantize(const Claim& claim, std::span<const float> x,
                  formats::BlockScaledTensor& out) const override {
    const Status status = inner().quantize(claim, x, out);
    *const_cast<float*>(x.data()) = -1.0F;  // the fault: inputs are read only
    return status;
  }
};

/// Leaves the last output alone: the poison shows through.
class LastOutputUnwritten final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status dequantize(const Claim& claim, const formats::BlockScaledTensor& in,
                    std::span<float> out) const override {
    const float before = out.back();
    const Status status = inner().dequantize(claim, in, out);
    out.back() = before;
    return status;
  }
};

/// Every second call is off by an ulp, as an unordered reduction may be.
class NotRepeatable final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status qat_forward(const Claim& claim, const QatCall& call) const override {
    const Status status = inner().qat_forward(claim, call);
    odd_ = !odd_;
    if (odd_) call.y[0] = std::nextafter(call.y[0], 1e30F);
    return status;
  }

 private:
  mutable bool odd_ = false;
};

/// A product of uninitialised scale factors.
class AnswersNan final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status gemm(const Claim&, const GemmCall& call) const override {
    std::fill(call.d.begin(), call.d.end(), NAN);
    return Status::ok;
  }
};

template <class Device>
std::unique_ptr<DeviceUnderTest> make(std::string_view id) {
  return std::make_unique<Device>(id);
}

constexpr std::array table{
    Mutant{"writes_nothing", "the kernel returns without writing its outputs", "lazy outputs",
           "writes_nothing", nullptr, make<WritesNothing>},
    Mutant{"stale_answer", "a result is reused for other operands of the same shape",
           "reference-kernels#104: cached results", "stale_answer", nullptr, make<StaleAnswer>},
    Mutant{"writes_inputs", "an input is used as scratch space", "in-place transforms",
           "writes_inputs", nullptr, make<WritesInputs>},
    Mutant{"last_output_unwritten", "the last output element is not written", "off-by-one grids",
           "last_output_unwritten", nullptr, make<LastOutputUnwritten>},
    Mutant{"not_repeatable", "the same call gives different bits", "races: DeepGEMM#343, ninfer#43",
           "not_repeatable", nullptr, make<NotRepeatable>},
    Mutant{"answers_nan", "every result of a product is NaN", "flashinfer#2569", "all_nan", nullptr,
           make<AnswersNan>},
};

}  // namespace

std::span<const Mutant> behaviour_mutants() { return table; }

}  // namespace assay::kernels::mutants
