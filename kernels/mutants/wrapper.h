// SPDX-License-Identifier: Apache-2.0
#pragma once
// The right kernel, for a mutant whose conduct is wrong to misuse.

#include <memory>
#include <string>

#include "kernels/mutants/scalar_device.h"

namespace assay::kernels::mutants {

class Wrapper : public TypedDevice {
 public:
  explicit Wrapper(std::string_view id)
      : name_("mutants." + std::string(id)), inner_(make_scalar_device(name_, right_steps())) {}
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::vector<Claim> claims() const override { return inner_->claims(); }

 protected:
  [[nodiscard]] const TypedDevice& inner() const { return *inner_; }

 private:
  std::string name_;
  std::unique_ptr<TypedDevice> inner_;
};

}  // namespace assay::kernels::mutants
