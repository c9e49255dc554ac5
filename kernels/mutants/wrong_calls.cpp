// SPDX-License-Identifier: Apache-2.0
// Kernels that compute rightly on dense, whole, full calls, and wrongly on others.
#include <algorithm>
#include <vector>

#include "kernels/abi/operands.h"
#include "kernels/mutants/wrapper.h"
#include "kernels/mutants/wrong_steps.h"

namespace assay::kernels::mutants {
namespace {

/// Reads and writes every matrix as if its rows followed each other.
class RowStrideIgnored final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status run(const Claim& claim, const assay_dut_call& call) const override {
    std::vector<assay_dut_tensor> in(call.in, call.in + call.n_in);
    std::vector<assay_dut_tensor> out(call.out, call.out + call.n_out);
    for (std::vector<assay_dut_tensor>* tensors : {&in, &out})
      for (assay_dut_tensor& t : *tensors) make_dense(t);
    assay_dut_call dense = call;
    dense.in = in.data();
    dense.out = out.data();
    return inner().run(claim, dense);
  }

 private:
  static void make_dense(assay_dut_tensor& t) {
    if (t.layout != ASSAY_DUT_STRIDED) return;
    std::int64_t step = 1;
    for (int i = t.ndim - 1; i >= 0; --i) {
      if (i == t.ndim - 2 && t.type_bits == 4) step = (step + 1) / 2 * 2;
      t.strides[i] = step;
      step *= t.shape[i];
    }
    t.bytes = (static_cast<std::uint64_t>(step) * t.type_bits + 7) / 8;
  }
};

/// Computes the offset of a row, in elements, in 32 bits without a sign.
class RowOffsetIn32Bits final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status run(const Claim& claim, const assay_dut_call& call) const override {
    std::vector<Rows> in(call.in, call.in + call.n_in);
    std::vector<Rows> out(call.out, call.out + call.n_out);
    std::vector<assay_dut_tensor> tensors;
    for (std::vector<Rows>* list : {&in, &out})
      for (Rows& rows : *list) tensors.push_back(rows.dense());
    assay_dut_call dense = call;
    dense.in = tensors.data();
    dense.out = tensors.data() + in.size();
    const Status status = inner().run(claim, dense);
    for (const Rows& rows : out) rows.store();
    return status;
  }

 private:
  /// A matrix whose rows lie where the 32-bit offsets say; any other tensor is left alone.
  class Rows {
   public:
    explicit Rows(const assay_dut_tensor& t)  // NOLINT: converts the arrays of a call
        : tensor_(t), is_matrix_(t.layout == ASSAY_DUT_STRIDED && t.ndim == 2) {
      if (!is_matrix_) return;
      width_ = static_cast<std::size_t>((t.shape[1] * t.type_bits + 7) / 8);
      copy_.resize(static_cast<std::size_t>(t.shape[0]) * width_);
      for (std::int64_t r = 0; r < t.shape[0]; ++r) std::copy_n(at(r), width_, dense_at(r));
    }
    [[nodiscard]] assay_dut_tensor dense() {
      assay_dut_tensor t = tensor_;
      if (!is_matrix_) return t;
      t.data = copy_.data();
      t.bytes = copy_.size();
      t.strides[0] = t.type_bits == 4 ? (t.shape[1] + 1) / 2 * 2 : t.shape[1];
      return t;
    }
    void store() const {
      if (!is_matrix_) return;
      for (std::int64_t r = 0; r < tensor_.shape[0]; ++r)
        std::copy_n(copy_.data() + static_cast<std::size_t>(r) * width_, width_, at(r));
    }

   private:
    [[nodiscard]] std::uint8_t* at(std::int64_t row) const {
      const auto offset = static_cast<std::uint32_t>(row * tensor_.strides[0]);
      return static_cast<std::uint8_t*>(tensor_.data) +
             std::uint64_t{offset} * tensor_.type_bits / 8;
    }
    [[nodiscard]] std::uint8_t* dense_at(std::int64_t row) {
      return copy_.data() + static_cast<std::size_t>(row) * width_;
    }
    assay_dut_tensor tensor_;
    bool is_matrix_;
    std::size_t width_ = 0;
    std::vector<std::uint8_t> copy_;
  };
};

/// Takes the last byte of a swizzled array of scale factors, which is padding but in whole tiles,
/// for that of the first block if it is not zero.
class ScalePaddingRead final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status run(const Claim& claim, const assay_dut_call& call) const override {
    std::vector<assay_dut_tensor> in(call.in, call.in + call.n_in);
    std::vector<std::vector<std::uint8_t>> copies;
    for (assay_dut_tensor& t : in) {
      if (t.layout != ASSAY_DUT_SCALES_128X4 || t.bytes == 0) continue;
      const auto bytes = abi::data_of<std::uint8_t>(&t);
      std::vector<std::uint8_t>& copy = copies.emplace_back(bytes.begin(), bytes.end());
      if (copy.back() != 0) copy.front() = copy.back();
      t.data = copy.data();
    }
    assay_dut_call with_padding = call;
    with_padding.in = in.data();
    return inner().run(claim, with_padding);
  }
};

/// One row is multiplied with k in two halves, more rows are not: what a heuristic on m does.
class SplitKByM final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status run(const Claim& claim, const assay_dut_call& call) const override {
    const Status status = inner().run(claim, call);
    if (call.operation != ASSAY_DUT_GEMM || call.m != 1 || claim.output != &formats::fp32)
      return status;
    // An FP32 sum in another order differs in its last bit, if it is no small number.
    for (std::uint32_t& bits :
         abi::data_of<std::uint32_t>(abi::find(abi::outputs(call), ASSAY_DUT_D)))
      if ((bits & 0xFFU) != 0) bits ^= 1U;
    return status;
  }
};

/// Returns early where there is nothing to sum.
class EmptyKIsZero final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status run(const Claim& claim, const assay_dut_call& call) const override {
    if (call.operation != ASSAY_DUT_GEMM || call.k > 0) return inner().run(claim, call);
    const assay_dut_tensor* d = abi::find(abi::outputs(call), ASSAY_DUT_D);
    const auto bytes = abi::data_of<std::uint8_t>(d);
    if (abi::is_dense(*d)) std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
    return Status::ok;
  }
};

/// Rows are counted by a dimension of the grid that ends at 65,535.
class RowsBeyondGrid final : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status run(const Claim& claim, const assay_dut_call& call) const override {
    std::vector<assay_dut_tensor> in(call.in, call.in + call.n_in);
    std::vector<assay_dut_tensor> out(call.out, call.out + call.n_out);
    for (std::vector<assay_dut_tensor>* list : {&in, &out})
      for (assay_dut_tensor& t : *list)
        if (t.ndim == 2) t.shape[0] = std::min(t.shape[0], kGrid);
    assay_dut_call capped = call;
    capped.m = std::min(call.m, kGrid);
    capped.in = in.data();
    capped.out = out.data();
    return inner().run(claim, capped);
  }

 private:
  static constexpr std::int64_t kGrid = 65535;
};

template <class Device>
std::unique_ptr<DeviceUnderTest> make(std::string_view id) {
  return std::make_unique<Device>(id);
}

constexpr std::array table{
    Mutant{"row_stride_ignored", "rows are taken to follow each other whatever the strides say",
           "aiter#2900: a stride that was not the tensor's", "row_stride_ignored", nullptr,
           make<RowStrideIgnored>},
    Mutant{"row_offset_in_32_bits", "offsets of rows are computed in 32 bits without a sign",
           "uint32_t row * stride: large batches wrap around", "offsets_in_32_bits", nullptr,
           make<RowOffsetIn32Bits>},
    Mutant{"scale_padding_read", "padding of swizzled scale factors reaches the result",
           "vllm#30260: uninitialised padding of 128x4 scales", "scale_padding_read", nullptr,
           make<ScalePaddingRead>},
    Mutant{"split_k_by_m", "one row is summed in another order than many", "split-k chosen by m",
           "order_depends_on_shape", nullptr, make<SplitKByM>},
    Mutant{"empty_k_is_zero", "k = 0 gives zeros instead of beta C + bias", "early returns",
           "empty_k_is_zero", nullptr, make<EmptyKIsZero>},
    Mutant{"rows_beyond_grid", "rows from 65,535 on are not computed",
           "blockIdx.y for the row: a launch fails or is capped at 65,535", "rows_beyond_grid",
           nullptr, make<RowsBeyondGrid>},
};

}  // namespace

std::span<const Mutant> call_mutants() { return table; }

}  // namespace assay::kernels::mutants
