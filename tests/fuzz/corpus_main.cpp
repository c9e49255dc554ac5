// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over a committed corpus and over every one-byte damage and truncation of it:
// what any compiler can do where libFuzzer is absent.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kDamaged = 4096;  // bytes from the start that are damaged; headers lie there

void run(const std::vector<std::uint8_t>& input) {
  // An exact-size copy, so that a sanitizer sees a read past the end.
  const std::vector<std::uint8_t> copy(input.begin(), input.end());
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t files = 0;
  std::size_t inputs = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream stream(entry.path(), std::ios::binary);
      std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(stream), {}};
      run(bytes);
      ++files;
      for (std::size_t at = 0; at < bytes.size() && at < kDamaged; ++at) {
        run({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(at)});
        for (const std::uint8_t damage : {0x01, 0x80, 0x10}) {
          bytes[at] ^= damage;
          run(bytes);
          bytes[at] ^= damage;
        }
        inputs += 4;
      }
    }
  }
  std::printf("%zu corpus files, %zu damaged inputs\n", files, inputs);
  return files == 0 ? 1 : 0;
}
