// SPDX-License-Identifier: Apache-2.0
// The one hard rule: golden sees nothing of the fast code, so a wrong table cannot agree with
// itself.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

namespace assay {
namespace {

namespace fs = std::filesystem;

/// The include directives of a file that golden must not have: anything but the standard library,
/// Boost.Multiprecision, golden itself (less the fast exact GEMM) and the data headers of formats.
const std::regex definition_allows(
    R"re((<[a-z0-9_]+>|<boost/multiprecision/cpp_int\.hpp>|"golden/(?!exact_gemm)[a-z0-9_]+\.h"|)re"
    R"re("formats/(spec|tensor|presets|orders|order_variants)\.h").*)re");

/// The fast exact GEMM shares nothing with the definitions but the data and the integer type of
/// golden/exact.h. It may use the vectors of the machine.
const std::regex fast_allows(
    R"re((<[a-z0-9_]+>|<immintrin\.h>|"golden/exact_gemm[a-z0-9_]*\.h"|"golden/exact\.h"|)re"
    R"re("formats/(spec|tensor)\.h").*)re");

std::vector<std::string> forbidden_includes(std::istream& source,
                                            const std::regex& allowed = definition_allows) {
  static const std::regex include(R"(^\s*#\s*include\s*(.*))");
  std::vector<std::string> found;
  for (std::string line; std::getline(source, line);) {
    std::smatch match;
    if (std::regex_match(line, match, include) && !std::regex_match(match[1].str(), allowed))
      found.push_back(line);
  }
  return found;
}

TEST(IncludeRule, GoldenIncludesOnlyDataAndItself) {
  const fs::path root = ASSAY_SOURCE_DIR;
  std::vector<fs::path> files = {root / "formats/spec.h", root / "formats/tensor.h",
                                 root / "formats/presets.h", root / "formats/orders.h",
                                 root / "formats/order_variants.h"};
  for (const auto& entry : fs::recursive_directory_iterator(root / "golden"))
    if (entry.path().extension() == ".h" || entry.path().extension() == ".cpp")
      files.push_back(entry.path());
  ASSERT_GT(files.size(), 10U) << "golden/ was not found below " << root;
  for (const fs::path& file : files) {
    std::ifstream source(file);
    ASSERT_TRUE(source) << file;
    const bool fast = file.filename().string().starts_with("exact_gemm");
    EXPECT_EQ(forbidden_includes(source, fast ? fast_allows : definition_allows),
              std::vector<std::string>{})
        << file;
  }
}

TEST(IncludeRule, TheScannerSeesViolations) {
  std::istringstream source(
      "#include <vector>\n#include \"golden/exact.h\"\n#include \"formats/codec.h\"\n"
      "  #  include \"kernels/cpu/gemm.h\"\n#include <Eigen/Dense>\n#include \"formats/tensor.h\"\n"
      "#include ASSAY_HIDDEN\n#include \"../formats/block.h\"\n#include <formats/spec.h>\n");
  EXPECT_EQ(forbidden_includes(source).size(), 6U);
  std::istringstream fast("#include \"golden/exact_gemm.h\"\n#include <immintrin.h>\n");
  EXPECT_EQ(forbidden_includes(fast).size(), 2U);
  std::istringstream definition("#include \"golden/codec.h\"\n#include \"golden/gemm.h\"\n");
  EXPECT_EQ(forbidden_includes(definition, fast_allows).size(), 2U);
}

}  // namespace
}  // namespace assay
