// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a run has found so far, a line of JSON for each part, so that one that was killed goes on
// where it was and ends with the same report. The first line names the run.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace assay::tools {

class Journal {
 public:
  using Json = nlohmann::ordered_json;
  struct Kind {
    std::string member;  ///< of the first line, and its value: the version of the lines
    int version = 1;
    std::string command;  ///< whose journal this is, for a person
  };

  /// Starts a journal, or with `resume` goes on with the one that is there, if it is: `read` is
  /// called with each of its whole lines after the first. `key` names the run: what is read,
  /// recipes, options and program. A last line without its end is cut off. Throws InputError for a
  /// journal of another run and for what is no journal, for a line that is not JSON or that `read`
  /// throws on, and for a journal that exists where `resume` is not said; OutputError.
  Journal(const std::filesystem::path& path, const Kind& kind, const std::string& key, bool resume,
          const std::function<void(const Json&)>& read);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// With the system when it returns: a killed program loses nothing of it. Throws OutputError.
  void append(const Json& line);

 private:
  void write(const std::string& text);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// When the files at `path` were last written: what was found in others is not gone on with. Aside
/// from JSON, of which a key has the content, and from the journal, should it lie there, with its
/// FILE.responses.
[[nodiscard]] std::string written(const std::filesystem::path& path,
                                  const std::filesystem::path& journal);

}  // namespace assay::tools
