// SPDX-License-Identifier: Apache-2.0
#pragma once
// The order in which the shape of a matrix product shrinks: k first, then rows of either operand.

#include <vector>

#include "proptests/shrink.h"

namespace assay::proptests {

/// Which rows of the first operand (m) and of the second (n), and which piece of k, stay.
struct ProductShape {
  Piece m, n, k;
};

/// Smaller shapes of `c` (members m, n, k and claim). A piece of k starts at a block of the claim's
/// A and B and has a length that the claim accepts.
template <class Case>
std::vector<ProductShape> smaller_shapes(const Case& c) {
  std::vector<ProductShape> shapes;
  const Piece m{0, c.m};
  const Piece n{0, c.n};
  for (const Piece& p : smaller(c.k))
    if (p.first % c.claim.b->block.cols == 0 && p.count % c.claim.k_multiple == 0 &&
        (c.claim.a == nullptr || p.first % c.claim.a->block.cols == 0))
      shapes.push_back({m, n, p});
  for (const Piece& p : smaller(c.m))
    if (p.count % c.claim.m_multiple == 0) shapes.push_back({p, n, {0, c.k}});
  for (const Piece& p : smaller(c.n))
    if (p.count % c.claim.n_multiple == 0) shapes.push_back({m, p, {0, c.k}});
  return shapes;
}

}  // namespace assay::proptests
