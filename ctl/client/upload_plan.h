// What an upload of several files, and of folders with all that is below them, consists of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "ctl/client/client_request.h"

namespace egalaxyd::ctl {

struct PlannedUpload {
  std::string file;
  Target target;
  std::uint64_t size = 0;  ///< as it was; 0 where that says nothing, for a pipe
};

struct UploadPlan {
  std::vector<PlannedUpload> uploads;
  std::vector<std::string> skipped;  ///< on purpose: "notes/.git: hidden"
  std::vector<Error> failed;         ///< what could not be looked at
};

/// Whether `name` is a folder, or a link to one.
bool isFolder(const std::string& name);

/// The files among `sources` go to their names below `folder`, whose path ends with '/'; of a
/// folder among them its content does, in the order of names. Skipped in a folder: what is hidden,
/// what is no file, and links, but for one to a file of that folder that is not hidden either: it
/// goes as that file. kInvalid when two files would go to the same place. Blocking.
Result<UploadPlan> planUploads(const std::vector<std::string>& sources, const Target& folder);

}  // namespace egalaxyd::ctl
