// SPDX-License-Identifier: Apache-2.0
#pragma once
// A C call that a wrong kernel passes on changed: the operands it misreads are replaced.

#include <cstdint>
#include <deque>
#include <vector>

#include "kernels/cpu/rows.h"
#include "kernels/mutants/mutants.h"

namespace assay::kernels::mutants {

class ChangedCall {
 public:
  explicit ChangedCall(const assay_dut_call& call)
      : call_(call), in_(call.in, call.in + call.n_in), out_(call.out, call.out + call.n_out) {}

  /// Null where the call has no such operand.
  [[nodiscard]] assay_dut_tensor* in(std::uint32_t role, std::uint32_t part = ASSAY_DUT_VALUES) {
    return const_cast<assay_dut_tensor*>(abi::find(in_, role, part));
  }
  [[nodiscard]] assay_dut_tensor* out(std::uint32_t role, std::uint32_t part = ASSAY_DUT_VALUES) {
    return const_cast<assay_dut_tensor*>(abi::find(out_, role, part));
  }
  /// The tensor's numbers, changed by `change(vector<T>&)`, in its place, dense.
  template <class T, class Change>
  void replace(assay_dut_tensor* t, const Change& change) {
    if (t == nullptr) return;
    std::vector<T> numbers = cpu::gather<T>(t);
    change(numbers);
    put(*t, numbers);
  }
  template <class T>
  void put(assay_dut_tensor& t, const std::vector<T>& numbers) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(numbers.data());
    t.data = memory_.emplace_back(bytes, bytes + numbers.size() * sizeof(T)).data();
    t.bytes = numbers.size() * sizeof(T);
    std::int64_t step = 1;
    for (int i = t.ndim - 1; i >= 0; --i) {
      t.strides[i] = step;
      step *= t.shape[i];
    }
  }
  void add(const assay_dut_tensor& t) { in_.push_back(t); }

  [[nodiscard]] assay_dut_call& call() {
    call_.in = in_.data();
    call_.n_in = static_cast<std::uint32_t>(in_.size());
    call_.out = out_.data();
    return call_;
  }

 private:
  assay_dut_call call_;
  std::vector<assay_dut_tensor> in_, out_;
  std::deque<std::vector<std::uint8_t>> memory_;
};

/// One wrong kernel of an operation of cpu/operations.h.
struct Fault {
  std::string_view id;
  std::string_view fault;  ///< the hypothesis that names it: Mutant::fault
  std::string_view description, source;
  std::uint32_t operation;
  Status (*run)(const Claim& claim, const assay_dut_call& call);
  /// Which claims of the right kernel it keeps; null: all.
  bool (*keeps)(const Claim& claim) = nullptr;
};
[[nodiscard]] std::span<const Fault> group_faults();

}  // namespace assay::kernels::mutants
