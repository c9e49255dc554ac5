// SPDX-License-Identifier: Apache-2.0
// A stranger's program: quantizes a row with the fast library and holds it against golden.
#include <formats/block.h>
#include <golden/quantize.h>

#include <vector>

int main() {
  std::vector<float> x(40);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 17.25F;
  const auto fast = assay::formats::quantize(x, 1, 40, assay::formats::nvfp4);
  const auto exact = assay::golden::quantize(x, 1, 40, assay::formats::nvfp4);
  return fast.codes == exact.codes && fast.scales == exact.scales ? 0 : 1;
}
