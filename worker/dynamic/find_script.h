// Finds the script that a path means.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"

namespace egalaxyd {

/// Whether a look-up may wait for a disk.
enum class ScriptLook {
  kCached,   ///< on the loop: what is not in memory is kBusy
  kWaiting,  ///< in the pool
};

struct FoundScript {
  std::string script;     ///< its path below the root, without '/' in front
  std::string pathInfo;   ///< see ScriptPlace
  bool isFolder = false;  ///< a folder that was named without its slash
};

/// The shortest part of `path` that is, with `suffix`, a regular file which somebody may execute;
/// of a folder that is named with its slash, the first of `args.index`. `root`: args.root, with a
/// user's name in it. `path`: below the mount, begins with '/', or is "": the root itself. Looks
/// with openat2(2) and O_PATH, so the file need not be readable. Errors: kNotFound, kPermission (a
/// file that nobody may execute), kBusy (kCached: ask in the pool), kNoSpace, kIo. Any thread.
Result<FoundScript> findScript(const std::filesystem::path& root, const CgiArgs& args,
                               std::string_view path, std::string_view suffix, ScriptLook look);

}  // namespace egalaxyd
