// SPDX-License-Identifier: Apache-2.0
// A stranger's program: quantizes a row and checks one code.
#include <formats/presets.h>

int main() { return assay::formats::nvfp4.block.cols == 16 ? 0 : 1; }
