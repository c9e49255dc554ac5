// SPDX-License-Identifier: Apache-2.0
#pragma once
// A library of entries that each spoil a right kernel of kernels/cpu in one way: what such sets of
// wrong kernels share. A set supplies faults() and is linked with plugin.cpp.

#include <cstring>
#include <deque>
#include <span>
#include <vector>

#include "kernels/cpu/rows.h"
#include "kernels/device_under_test.h"

namespace spoiled {

using assay::kernels::Claim;
using assay::kernels::Status;
namespace abi = assay::kernels::abi;
namespace cpu = assay::kernels::cpu;
namespace formats = assay::formats;

using Run = Status (*)(const Claim& claim, const assay_dut_call& call);

struct Fault {
  const char* name;
  const char* kernel;  ///< of kernels/cpu, which it spoils
  Run run;
};

/// The name of the set, and its faults: defined by the set.
extern const char* const set_name;
[[nodiscard]] std::span<const Fault> faults();

/// The right answer.
Status right(const Claim& claim, const assay_dut_call& call);

/// A call with some of its operands replaced.
class Patched {
 public:
  explicit Patched(const assay_dut_call& original)
      : call_(original),
        in_(original.in, original.in + original.n_in),
        out_(original.out, original.out + original.n_out) {}
  Patched(const Patched&) = delete;
  Patched& operator=(const Patched&) = delete;

  /// An input with these contents, dense (or in its own layout of scale factors).
  template <class T>
  void set(std::uint32_t role, std::uint32_t part, const std::vector<T>& contents) {
    for (assay_dut_tensor& t : in_)
      if (t.role == role && t.part == part) fill(t, contents);
  }
  template <class T>
  void add(assay_dut_tensor like, std::uint32_t role, const std::vector<T>& contents) {
    like.role = role;
    fill(like, contents);
    in_.push_back(like);
  }
  void cap_rows(std::int64_t rows) {
    if (call_.m > rows) call_.m = rows;
    for (std::vector<assay_dut_tensor>* list : {&in_, &out_})
      for (assay_dut_tensor& t : *list)
        if (t.ndim > 1 && t.shape[0] > rows) t.shape[0] = rows;
  }
  [[nodiscard]] const assay_dut_call& call() {
    call_.in = in_.data();
    call_.out = out_.data();
    call_.n_in = static_cast<std::uint32_t>(in_.size());
    return call_;
  }

 private:
  template <class T>
  void fill(assay_dut_tensor& t, const std::vector<T>& contents) {
    auto& bytes = storage_.emplace_back(contents.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), contents.data(), bytes.size());
    t.data = bytes.data();
    t.bytes = bytes.size();
    std::int64_t step = 1;
    for (int i = t.ndim - 1; t.layout == ASSAY_DUT_STRIDED && i >= 0; --i) {
      t.strides[i] = step;
      step *= t.shape[i];
    }
  }

  assay_dut_call call_;
  std::vector<assay_dut_tensor> in_, out_;
  std::deque<std::vector<std::uint8_t>> storage_;
};

template <class T>
std::vector<T> read(const assay_dut_call& call, std::uint32_t role,
                    std::uint32_t part = ASSAY_DUT_VALUES) {
  return cpu::gather<T>(abi::find(abi::inputs(call), role, part));
}

}  // namespace spoiled
