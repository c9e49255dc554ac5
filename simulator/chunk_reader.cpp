// SPDX-License-Identifier: Apache-2.0
#include "simulator/chunk_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <optional>

#include "simulator/input_error.h"

#if defined(__linux__) && !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25  // since Linux 6.1; older ones refuse it
#endif

namespace assay::simulator {
namespace {

constexpr std::size_t kThreads = 8;  // requests that a disk has at a time
constexpr std::size_t kOpenFiles = 16;
constexpr const char* kTruncated = "it was truncated while it was read";

[[noreturn]] void fail(const std::string& path, const std::string& problem) {
  throw InputError("cannot read " + path + ": " + problem + ".");
}

}  // namespace

/// kChunk bytes at a multiple of their size.
class ChunkReader::Buffer {
 public:
  Buffer() {
    // Twice as much is reserved, and what is not needed given back.
    constexpr std::size_t size = ChunkReader::kChunk;
    void* at =
        ::mmap(nullptr, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    auto* begin = static_cast<std::byte*>(at);
    const std::size_t over = reinterpret_cast<std::uintptr_t>(begin) % size;
    const std::size_t skip = over == 0 ? 0 : size - over;
    if (skip > 0) ::munmap(begin, skip);
    ::munmap(begin + skip + size, size - skip);
    data_ = begin + skip;
#if defined(MADV_HUGEPAGE) && defined(MADV_COLLAPSE)
    ::madvise(data_, size, MADV_HUGEPAGE);
    std::memset(data_, 0, size);
    huge_ = ::madvise(data_, size, MADV_COLLAPSE) == 0;
#endif
  }
  ~Buffer() { ::munmap(data_, ChunkReader::kChunk); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  [[nodiscard]] std::byte* data() const { return data_; }
  /// A disk takes few separate pages in one request: into small ones it is slow.
  [[nodiscard]] bool huge() const { return huge_; }

 private:
  std::byte* data_;
  bool huge_ = false;
};

class ChunkReader::File {
 public:
  explicit File(const std::string& path)
      : path_(path), cached_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (cached_ < 0) fail(path, std::strerror(errno));
#ifdef O_DIRECT
    direct_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);  // or -1: not there
#endif
  }
  ~File() {
    ::close(cached_);
    if (direct_ >= 0) ::close(direct_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

  /// The bytes from `offset` on, at most kChunk: how many there are.
  std::size_t read(std::uint64_t offset, const Buffer& buffer) const {
    std::byte* to = buffer.data();
    if (direct_ < 0 || !buffer.huge() || in_page_cache(offset, kChunk))
      return read_all(cached_, offset, to, 0);
    try {
      return read_all(direct_, offset, to, 0);
    } catch (const InputError&) {
      return read_all(cached_, offset, to, 0);  // a file system that opens so and does not read so
    }
  }

  void read_through(std::uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
      const ssize_t n = ::pread(cached_, out.data(), out.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(path_, std::strerror(errno));
      if (n == 0) fail(path_, kTruncated);
      offset += static_cast<std::uint64_t>(n);
      out = out.subspan(static_cast<std::size_t>(n));
    }
  }

  /// Nearly all of what there is of `count` bytes: the rest is soon read. Where the system does not
  /// tell, yes.
  [[nodiscard]] bool in_page_cache(std::uint64_t offset, std::uint64_t count) const {
    struct stat status {};
    if (::fstat(cached_, &status) != 0) return true;
    const auto size = static_cast<std::uint64_t>(status.st_size);
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (offset >= size) return true;
    const std::uint64_t begin = offset / page * page;
    const auto length = static_cast<std::size_t>(std::min(offset + count, size) - begin);
    const std::uint64_t pages = (length + page - 1) / page;
    const std::optional<std::uint64_t> cached = cached_pages(begin, length, pages);
    return !cached || *cached >= pages - pages / 64;
  }

 private:
  [[nodiscard]] std::optional<std::uint64_t> cached_pages(std::uint64_t begin, std::size_t length,
                                                          std::uint64_t pages) const {
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
    // cachestat(2), since Linux 6.5: thirty times as fast as mincore.
    constexpr long kCachestat = 451;
    const std::array<std::uint64_t, 2> range{begin, length};
    std::array<std::uint64_t, 5> found{};  // cached, and four kinds of those
    if (::syscall(kCachestat, cached_, range.data(), found.data(), 0) == 0) return found[0];
#endif
    void* at = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, cached_, static_cast<off_t>(begin));
    if (at == MAP_FAILED) return std::nullopt;
    std::vector<unsigned char> resident(pages);
    const bool known = ::mincore(at, length, resident.data()) == 0;
    ::munmap(at, length);
    if (!known) return std::nullopt;
    return std::count_if(resident.begin(), resident.end(),
                         [](unsigned char r) { return (r & 1U) != 0; });
  }

  std::size_t read_all(int descriptor, std::uint64_t offset, std::byte* to,
                       std::size_t done) const {
    while (done < kChunk) {
      const ssize_t n =
          ::pread(descriptor, to + done, kChunk - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(path_, std::strerror(errno));
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
      // An unaligned rest can only be the file's end, and O_DIRECT reads from no such offset.
      if (descriptor == direct_ && done % 4096 != 0) break;
    }
    return done;
  }

  std::string path_;
  int cached_;
  int direct_ = -1;
};

struct ChunkReader::Chunk {
  Key key;
  std::unique_ptr<Buffer> buffer;
  std::size_t size = 0;
  bool ready = false, used = false, done = false;
  int users = 0;
  std::exception_ptr error;
  std::list<Held>::iterator place;
};

ChunkReader::ChunkReader(std::size_t chunks) : limit_(chunks) {
  for (std::size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { work(); });
}

ChunkReader::~ChunkReader() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  queued_.notify_all();
  for (std::thread& t : threads_) t.join();
}

/// Drops a chunk that is read and that nobody uses: one that is done with, or at once the one whose
/// last use is longest ago.
bool ChunkReader::make_room(bool at_once) {
  if (chunks_.size() < limit_) return true;
  const auto old = std::find_if(by_use_.begin(), by_use_.end(), [&](const Held& c) {
    return c->ready && c->users == 0 && (c->done || at_once);
  });
  if (old == by_use_.end()) return at_once;  // more than was allowed, rather than a standstill
  spare_.push_back(std::move((*old)->buffer));
  chunks_.erase((*old)->key);
  by_use_.erase(old);
  return true;
}

ChunkReader::Held ChunkReader::add(const Key& key) {
  auto chunk = std::make_shared<Chunk>();
  chunk->key = key;
  if (spare_.empty()) {
    chunk->buffer = std::make_unique<Buffer>();
  } else {
    chunk->buffer = std::move(spare_.back());
    spare_.pop_back();
  }
  chunk->place = by_use_.insert(by_use_.end(), chunk);
  chunks_[key] = chunk;
  return chunk;
}

void ChunkReader::done_with(const Held& chunk) {
  chunk->done = true;
  by_use_.splice(by_use_.begin(), by_use_, chunk->place);
  queued_.notify_one();
}

void ChunkReader::read(const std::filesystem::path& path, std::uint64_t offset,
                       std::span<std::byte> out, bool keep) {
  while (!out.empty()) {
    std::unique_lock<std::mutex> lock(mutex_);
    const Key key{path.string(), offset / kChunk};
    const auto found = chunks_.find(key);
    Held chunk = found == chunks_.end() ? nullptr : found->second;
    if (chunk == nullptr) {
      const auto wish = std::find(wishes_.begin(), wishes_.end(), key);
      if (wish != wishes_.end()) wishes_.erase(wish);
      (void)make_room(true);
      chunk = add(key);
      queue_.push_back(chunk);
      queued_.notify_one();
    }
    ++chunk->users;
    done_.wait(lock, [&] { return chunk->ready; });
    chunk->used = true;
    if (!chunk->done) by_use_.splice(by_use_.end(), by_use_, chunk->place);
    lock.unlock();
    const std::size_t from = offset % kChunk;
    const std::size_t n = std::min(out.size(), kChunk - from);
    const bool whole = !chunk->error && from + n <= chunk->size;
    if (whole) std::memcpy(out.data(), chunk->buffer->data() + from, n);
    lock.lock();
    --chunk->users;
    // Another thread may still be about to read of this chunk, but hardly of the one before it.
    const auto before =
        keep || key.second == 0 ? chunks_.end() : chunks_.find({key.first, key.second - 1});
    if (before != chunks_.end() && before->second->used && !before->second->done)
      done_with(before->second);
    lock.unlock();
    if (chunk->error) std::rethrow_exception(chunk->error);
    if (!whole) fail(path.string(), kTruncated);
    offset += n;
    out = out.subspan(n);
  }
}

void ChunkReader::read_through(const std::filesystem::path& path, std::uint64_t offset,
                               std::span<std::byte> out) {
  std::unique_lock<std::mutex> lock(mutex_);
  const std::shared_ptr<File> file = opened(path.string());
  lock.unlock();
  file->read_through(offset, out);
}

bool ChunkReader::in_page_cache(const std::filesystem::path& path, std::uint64_t offset,
                                std::uint64_t count) {
  std::unique_lock<std::mutex> lock(mutex_);
  const std::shared_ptr<File> file = opened(path.string());
  lock.unlock();
  return file->in_page_cache(offset, count);
}

void ChunkReader::prefetch(const std::filesystem::path& path, std::uint64_t offset,
                           std::uint64_t count) {
  if (count == 0) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::uint64_t i = offset / kChunk; i <= (offset + count - 1) / kChunk; ++i)
    wishes_.emplace_back(path.string(), i);
  queued_.notify_all();
}

void ChunkReader::limit(std::size_t chunks) {
  const std::lock_guard<std::mutex> lock(mutex_);
  limit_ = chunks;
  queued_.notify_all();
}

void ChunkReader::forget() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::vector<Held> all(by_use_.begin(), by_use_.end());
  for (const Held& chunk : all)
    if (chunk->used && !chunk->done) done_with(chunk);
}

/// The chunk to be read next, or null.
ChunkReader::Held ChunkReader::next() {
  if (!queue_.empty()) {
    Held chunk = queue_.front();
    queue_.pop_front();
    return chunk;
  }
  while (!wishes_.empty()) {
    const auto found = chunks_.find(wishes_.front());
    if (found == chunks_.end() && !make_room(false)) return nullptr;
    const Key key = wishes_.front();
    wishes_.pop_front();
    if (found == chunks_.end()) return add(key);
    found->second->done = false;  // of two tensors' border
  }
  return nullptr;
}

std::shared_ptr<ChunkReader::File> ChunkReader::opened(const std::string& path) {
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [&](const auto& file) { return file->path() == path; });
  if (found != files_.end()) {
    files_.splice(files_.begin(), files_, found);
  } else {
    files_.push_front(std::make_shared<File>(path));
    if (files_.size() > kOpenFiles) files_.pop_back();  // closed when its last reader is done
  }
  return files_.front();
}

void ChunkReader::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    Held chunk;
    queued_.wait(lock, [&] { return stop_ || (chunk = next()) != nullptr; });
    if (stop_) return;
    try {
      const std::shared_ptr<File> file = opened(chunk->key.first);
      lock.unlock();
      chunk->size = file->read(chunk->key.second * kChunk, *chunk->buffer);
      lock.lock();
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      chunk->error = std::current_exception();
    }
    chunk->ready = true;
    done_.notify_all();
  }
}

}  // namespace assay::simulator
