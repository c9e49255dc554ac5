// SPDX-License-Identifier: Apache-2.0
// network_probe RECORDING OP [RECIPE]: the value of an op in the clean execution from the tokens,
// or the weight of a linear under a recipe; doubles on standard output, row by row.
#include <cstdio>
#include <iostream>
#include <string>

#include "simulator/graph/recipe_operands.h"

int main(int argc, char** argv) {
  using namespace assay::simulator;
  if (argc < 3) return 4;
  try {
    const Graph graph = Graph::of(Recording::open(argv[1]));
    std::size_t node = 0;
    while (node < graph.nodes.size() && graph.nodes[node].id != argv[2]) ++node;
    if (node == graph.nodes.size()) throw InputError("no op " + std::string(argv[2]) + ".");
    const Matrix out = argc > 3
                           ? RecipeOperands(graph, load_recipe(argv[3]), {}).weight(graph, node)
                           : run_forward(graph, {}).values[node];
    std::fwrite(out.data(), sizeof(double), static_cast<std::size_t>(out.size()), stdout);
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 4;
  }
  return 0;
}
