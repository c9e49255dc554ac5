// SPDX-License-Identifier: Apache-2.0
// An output file is whole or absent: full disks, unwritable places, abandoned and short writes.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <iterator>
#include <vector>

#include "simulator/atomic_file.h"
#include "simulator/npy.h"
#include "simulator/safetensors.h"
#include "tests/simulator/scratch_folder.h"

namespace assay::simulator {
namespace {

using Names = std::set<std::string>;

std::string content(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Files of this process are cut off at `bytes`: the disk is full there.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    before_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    rlimit full = limit_;
    full.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &full);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, before_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit limit_{};
  void (*before_)(int) = nullptr;
};

TEST(Writers, AFullDiskLeavesWhatWasThere) {
  const ScratchFolder folder;
  folder.put("a.npy", "before");
  const std::vector<std::byte> mebibyte(1 << 20);
  const auto path = folder / "a.npy";
  const std::vector<std::function<void()>> writes = {
      [&] {
        NpyWriter writer(path, Dtype::u8, {1 << 20});
        writer.write(mebibyte);
        writer.commit();
      },
      [&] {
        SafetensorsWriter writer(path, {{"t", Dtype::u8, {1 << 20}}});
        writer.write(mebibyte);
        writer.commit();
      },
      [&] {
        SafetensorsWriter writer(path, {{"t", Dtype::u8, {1 << 20}}});
        writer.write_at(0, (1 << 20) - 1, std::span(mebibyte).first(1));
        writer.commit();
      },
  };
  for (const auto& write : writes) {
    const FullDisk full(1 << 16);
    const std::string message = message_of<OutputError>(write);
    EXPECT_EQ(message.rfind("cannot write " + path.string() + ": ", 0), 0U) << message;
    EXPECT_EQ(message.back(), '.') << message;
    EXPECT_EQ(folder.names(), (Names{"a.npy"}));
  }
  EXPECT_EQ(content(path), "before");
}

TEST(Writers, AnAbandonedFileIsNotThere) {
  const ScratchFolder folder;
  {
    NpyWriter writer(folder / "a.npy", Dtype::f32, {4});
    writer.write(std::as_bytes(std::span("abcd", 4)));
    EXPECT_EQ(folder.names().size(), 1U);  // under its temporary name
    EXPECT_FALSE(folder.names().contains("a.npy"));
  }
  EXPECT_EQ(folder.names(), Names{});
}

TEST(Writers, AFileThatIsTooShortOrTooLongIsNotCommitted) {
  const ScratchFolder folder;
  const std::vector<std::byte> bytes(16);
  {
    NpyWriter writer(folder / "a.npy", Dtype::f32, {4});
    writer.write(std::span(bytes).first(12));
    EXPECT_THROW(writer.commit(), std::logic_error);
    EXPECT_THROW(writer.write(std::span(bytes).first(8)), std::logic_error);
    EXPECT_THROW(writer.write_at(12, std::span(bytes).first(8)), std::logic_error);
    EXPECT_THROW(writer.write_at(UINT64_MAX, std::span(bytes).first(1)), std::logic_error);
  }
  {
    SafetensorsWriter writer(folder / "a.safetensors",
                             {{"a", Dtype::u8, {4}}, {"b", Dtype::u8, {4}}});
    writer.write_at(1, 0, std::span(bytes).first(4));
    EXPECT_THROW(writer.commit(), std::logic_error);
    EXPECT_THROW(writer.write_at(0, 1, std::span(bytes).first(4)), std::logic_error);
    EXPECT_THROW(writer.write_at(2, 0, std::span(bytes).first(1)), std::logic_error);
    EXPECT_THROW(writer.write(std::span(bytes).first(5)), std::logic_error);
  }
  EXPECT_EQ(folder.names(), Names{});
}

TEST(Writers, ACommittedFileIsReadBackAndReplacesTheOldOne) {
  const ScratchFolder folder;
  const float values[] = {1, -2, 3, -4};
  for (int round = 0; round < 2; ++round) {
    NpyWriter npy(folder / "a.npy", Dtype::f32, {2, 2});
    npy.write(std::as_bytes(std::span(values)));
    npy.commit();
    SafetensorsWriter tensors(folder / "a.safetensors",
                              {{"x", Dtype::f32, {2}}, {"y", Dtype::f32, {2}}});
    tensors.write_at(1, 0, std::as_bytes(std::span(values).last(2)));
    tensors.write_at(0, 0, std::as_bytes(std::span(values).first(2)));
    tensors.commit();
  }
  EXPECT_EQ(folder.names(), (Names{"a.npy", "a.safetensors"}));
  const NpyFile npy(folder / "a.npy");
  float read[4];
  npy.read_rows(0, 2, read);
  EXPECT_TRUE(std::equal(read, read + 4, values));
  const SafetensorsFile tensors(folder / "a.safetensors");
  const TensorView y = tensors.tensor("y");
  to_float(y.dtype, y.bytes, 0, std::span(read, 2));
  EXPECT_TRUE(std::equal(read, read + 2, values + 2));
}

TEST(Writers, APlaceThatCannotBeWrittenIsNamed) {
  const ScratchFolder folder;
  const auto refused = [&](const std::filesystem::path& path, const char* says) {
    const std::string message = message_of<OutputError>([&] { AtomicFile file(path); });
    EXPECT_NE(message.find(path.string()), std::string::npos) << message;
    EXPECT_NE(message.find(says), std::string::npos) << message;
  };
  refused(folder / "missing/a.npy", "No such file or directory");
  refused(folder.path(), "not a regular file");
  refused("/dev/full", "not a regular file");
  EXPECT_EQ(folder.names(), Names{});
}

TEST(Writers, AFolderWithoutPermissionIsNamed) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const ScratchFolder folder;
  namespace fs = std::filesystem;
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  const std::string message = message_of<OutputError>([&] { AtomicFile file(folder / "a.npy"); });
  fs::permissions(folder.path(), fs::perms::owner_all);
  EXPECT_NE(message.find("Permission denied"), std::string::npos) << message;
  EXPECT_EQ(folder.names(), Names{});
}

TEST(Writers, AnInterruptDiscardsEveryFileInTheMaking) {
  const ScratchFolder folder;
  folder.put("a", "before");
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGTERM, [](int) {
      AtomicFile::discard_all();
      ::_exit(2);
    });
    AtomicFile a(folder / "a");
    AtomicFile b(folder / "b");
    a.write("half of it");
    std::raise(SIGTERM);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_EQ(folder.names(), (Names{"a"}));
  EXPECT_EQ(content(folder / "a"), "before");
}

TEST(Writers, ATensorThatCannotBeIsRefusedBeforeAByteIsWritten) {
  const ScratchFolder folder;
  const std::vector<std::vector<SafetensorsSpec>> wrong = {
      {{"t", Dtype::f32, {1}}, {"t", Dtype::f32, {1}}},
      {{"__metadata__", Dtype::f32, {1}}},
      {{"t", Dtype::f4, {3}}},
      {{"t", Dtype::f32, {-1}}},
      {{"t", Dtype::f32, {INT64_MAX, 2}}},
  };
  for (const auto& specs : wrong) {
    EXPECT_THROW(SafetensorsWriter(folder / "a.safetensors", specs), std::invalid_argument);
  }
  EXPECT_EQ(folder.names(), Names{});
}

}  // namespace
}  // namespace assay::simulator
