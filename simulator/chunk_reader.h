// SPDX-License-Identifier: Apache-2.0
#pragma once
// Files read in aligned chunks by threads of their own, ahead of those that compute. Chunks that
// are in the page cache are copied from there; others go around it where there are huge pages to
// take them: a disk then gives its speed and next to no processor time is spent on reading.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace assay::simulator {

class ChunkReader {
 public:
  static constexpr std::size_t kChunk = std::size_t{4} << 20;

  /// Takes `chunks` of kChunk bytes as a rule, and as many as are being used at a time.
  explicit ChunkReader(std::size_t chunks);
  ~ChunkReader();
  ChunkReader(const ChunkReader&) = delete;
  ChunkReader& operator=(const ChunkReader&) = delete;

  /// Bytes [offset, offset + out.size()) of a file. Safe from several threads. `keep`: they will be
  /// read again, and their chunks are held as long as there is room. Throws InputError where the
  /// file cannot be read or is shorter.
  void read(const std::filesystem::path& path, std::uint64_t offset, std::span<std::byte> out,
            bool keep = false);
  /// The same without chunks, for what is in the page cache.
  void read_through(const std::filesystem::path& path, std::uint64_t offset,
                    std::span<std::byte> out);
  [[nodiscard]] bool in_page_cache(const std::filesystem::path& path, std::uint64_t offset,
                                   std::uint64_t count);
  /// Reads these bytes in the background, as room comes. They must be read later: what is fetched
  /// and never read takes room.
  void prefetch(const std::filesystem::path& path, std::uint64_t offset, std::uint64_t count);
  /// How many chunks may be taken from now on, as a rule; those that are held stay.
  void limit(std::size_t chunks);
  /// All that has been read so far will not be read again.
  void forget();

 private:
  class Buffer;
  class File;
  struct Chunk;
  using Key = std::pair<std::string, std::uint64_t>;
  using Held = std::shared_ptr<Chunk>;

  Held add(const Key& key);
  bool make_room(bool at_once);
  void done_with(const Held& chunk);
  Held next();
  void work();
  std::shared_ptr<File> opened(const std::string& path);

  std::size_t limit_;
  std::mutex mutex_;
  std::condition_variable queued_, done_;
  std::map<Key, Held> chunks_;
  std::list<Held> by_use_;  ///< those that are done with, then the one used last comes last
  std::deque<Held> queue_;  ///< somebody waits for them
  std::deque<Key> wishes_;  ///< in the order of their use
  std::vector<std::unique_ptr<Buffer>> spare_;  ///< of chunks that were dropped
  std::list<std::shared_ptr<File>> files_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace assay::simulator
