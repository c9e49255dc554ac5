// SPDX-License-Identifier: Apache-2.0
#include "tools/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include "simulator/input_error.h"

namespace assay::tools {
namespace {

using simulator::InputError;
using simulator::OutputError;

std::string head_of(const Journal::Kind& kind, const std::string& key) {
  return Journal::Json{{kind.member, kind.version}, {"run", key}}.dump() + "\n";
}

/// Bytes of whole lines.
std::uint64_t read_lines(const std::filesystem::path& path, const Journal::Kind& kind,
                         const std::string& key,
                         const std::function<void(const Journal::Json&)>& read) {
  const std::string foreign = path.string() + ": is no journal of " + kind.command + ".";
  if (!std::filesystem::is_regular_file(path)) throw InputError(foreign);
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw InputError(path.string() + ": cannot be read.");
  std::uint64_t whole = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) {  // torn: that part is done again
      // A first line must be this run's so far: what somebody else wrote is not cut off.
      if (whole == 0 && !head_of(kind, key).starts_with(text)) throw InputError(foreign);
      break;
    }
    const auto first = text.begin() + static_cast<std::ptrdiff_t>(at);
    const auto last = text.begin() + static_cast<std::ptrdiff_t>(end);
    const auto line = Journal::Json::parse(first, last, nullptr, false);
    const bool head = whole == 0;
    bool same_run = true;
    try {
      if (head) {
        if (line.at(kind.member) != kind.version) throw std::invalid_argument("");
        same_run = line.at("run") == key;
      } else {
        read(line);
      }
    } catch (const std::exception&) {
      throw InputError(head ? foreign : path.string() + ": is damaged; remove it and start again.");
    }
    if (!same_run)
      throw InputError(path.string() +
                       ": is the journal of another run: of other tensors, recipes, options or "
                       "another build; name another file.");
    at = end + 1;
    whole = at;
  }
  return whole;
}

}  // namespace

Journal::Journal(const std::filesystem::path& path, const Kind& kind, const std::string& key,
                 bool resume, const std::function<void(const Json&)>& read)
    : path_(path) {
  const bool exists = std::filesystem::exists(path);
  if (exists && !resume)
    throw InputError(path.string() +
                     ": exists already; go on with it by --resume, or remove it first.");
  const std::uint64_t whole = exists ? read_lines(path, kind, key, read) : 0;
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0 || ::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0)
    throw OutputError(path.string() + ": cannot be written: " + std::strerror(errno) + ".");
  if (whole == 0) write(head_of(kind, key));
}

Journal::~Journal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Journal::append(const Json& line) { write(line.dump() + "\n"); }

void Journal::write(const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(descriptor_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      throw OutputError(path_.string() + ": cannot be written: " + std::strerror(errno) + ".");
    done += static_cast<std::size_t>(n);
  }
}

std::string written(const std::filesystem::path& path, const std::filesystem::path& journal) {
  namespace fs = std::filesystem;
  const std::string own = journal.empty() ? "" : fs::weakly_canonical(journal).string();
  std::map<std::string, std::string> files;
  const auto add = [&](const fs::path& file) {
    const std::string name = fs::weakly_canonical(file).string();
    if (!own.empty() && (name == own || name == own + ".responses")) return;
    files[file.string()] = fmt::format("{} {}\n", fs::file_size(file),
                                       fs::last_write_time(file).time_since_epoch().count());
  };
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::recursive_directory_iterator(path))
      if (entry.is_regular_file() && entry.path().extension() != ".json") add(entry.path());
  } else {
    add(path);
  }
  std::string text;
  for (const auto& [name, stamp] : files) text += fmt::format("{} {}", name, stamp);
  return text;
}

}  // namespace assay::tools
