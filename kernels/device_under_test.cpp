// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_under_test.h"

namespace assay::kernels {

Status DeviceUnderTest::quantize(const Claim&, std::span<const float>,
                                 formats::BlockScaledTensor&) const {
  return Status::not_supported;
}
Status DeviceUnderTest::dequantize(const Claim&, const formats::BlockScaledTensor&,
                                   std::span<float>) const {
  return Status::not_supported;
}
Status DeviceUnderTest::gemm(const Claim&, const GemmCall&) const { return Status::not_supported; }
Status DeviceUnderTest::qat_forward(const Claim&, const QatCall&) const {
  return Status::not_supported;
}
Status DeviceUnderTest::qat_backward(const Claim&, const QatCall&) const {
  return Status::not_supported;
}

}  // namespace assay::kernels
