// What is to be said of the folders and files that a configuration serves.
#pragma once

#include <filesystem>
#include <string>

#include "common/config/findings.h"

namespace egalaxyd {

/// A root that has the server's own files in it: those are neither served nor changed, yet whoever
/// finds a way around that has the server. A complaint where the root takes uploads, else a
/// warning. Waits for the disk.
void checkServerFiles(const Config& config, Findings& findings);

/// Folders whose files are copies of what a database holds, and cannot tell so. Waits for the disk.
void checkUploadMarks(const Config& config, Findings& findings);

/// See keepFromSites().
void addServerFile(const std::string& name, const std::filesystem::path& file);

/// Roots and files that the calling process cannot serve, and uploads that it cannot write, each
/// with its reason. Waits for the disk.
Complaints rootsOutOfReach(const Config& config);

}  // namespace egalaxyd
