// SPDX-License-Identifier: Apache-2.0
#include "tools/verify_recording.h"

#include "proptests/sha256.h"
#include "simulator/input_error.h"
#include "simulator/mapped_file.h"
#include "tools/progress.h"

namespace assay::tools {

void verify_files(const simulator::Recording& recording) {
  const auto& files = recording.header().files;
  if (files.empty())
    throw simulator::InputError(recording.folder().string() +
                                ": has no list of files and hashes to verify; recorders of today "
                                "write one.");
  std::int64_t bytes = 0;
  for (const auto& entry : files) bytes += static_cast<std::int64_t>(entry.bytes);
  Progress progress("verify", bytes);
  for (const auto& entry : files) {
    const simulator::MappedFile file(recording.folder() / entry.file);
    const std::string found = proptests::sha256(
        {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
    if (found != entry.sha256)
      throw simulator::InputError(file.path().string() + ": has the SHA-256 " + found +
                                  ", its recorder wrote " + entry.sha256 +
                                  "; the file has changed since.");
    progress.advance(static_cast<std::int64_t>(entry.bytes));
  }
}

}  // namespace assay::tools
