// SPDX-License-Identifier: Apache-2.0
#include "simulator/chunk_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "simulator/input_error.h"
#include "tests/simulator/scratch_folder.h"

namespace assay::simulator {
namespace {

class ChunkReaderTest : public ::testing::Test {
 protected:
  /// A file of random bytes.
  std::filesystem::path make(const std::string& name, std::size_t size, std::string& bytes) {
    bytes.resize(size);
    std::mt19937_64 random(size);
    for (std::size_t i = 0; i < size; i += 8) {
      const std::uint64_t v = random();
      std::memcpy(bytes.data() + i, &v, std::min<std::size_t>(8, size - i));
    }
    std::ofstream(folder_.path() / name, std::ios::binary) << bytes;
    return folder_.path() / name;
  }

  ScratchFolder folder_;
};

// Two files, read by several threads at places of any alignment, with room for far less than they
// hold, with and without having been asked for, and kept or not.
TEST_F(ChunkReaderTest, GivesTheBytesOfTheFiles) {
  std::string a;
  std::string b;
  const auto first = make("a", 5 * ChunkReader::kChunk + 12345, a);
  const auto second = make("b", 3 * ChunkReader::kChunk, b);
  ChunkReader reader(4);
  reader.prefetch(first, 77, a.size() - 77);
  reader.prefetch(second, 0, b.size());
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(t));
      for (int i = 0; i < 60; ++i) {
        const bool which = random() % 2 != 0;
        const std::string& bytes = which ? a : b;
        const std::size_t from = random() % bytes.size();
        std::vector<std::byte> out(std::min<std::size_t>(random() % 5000000, bytes.size() - from));
        reader.read(which ? first : second, from, out, random() % 2 != 0);
        if (std::memcmp(out.data(), bytes.data() + from, out.size()) != 0) ++wrong;
        if (i == 30) reader.forget();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(ChunkReaderTest, RefusesWhatIsNotThere) {
  std::string bytes;
  const auto path = make("short", 1000, bytes);
  ChunkReader reader(4);
  std::vector<std::byte> out(10);
  EXPECT_THROW(reader.read(path, 995, out), InputError);
  EXPECT_THROW(reader.read(path, ChunkReader::kChunk, out), InputError);
  EXPECT_THROW(reader.read(folder_.path() / "absent", 0, out), InputError);
  reader.read(path, 990, out);
  EXPECT_EQ(std::memcmp(out.data(), bytes.data() + 990, 10), 0);
}

}  // namespace
}  // namespace assay::simulator
