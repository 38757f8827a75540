// Which files the patterns of `include` name.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"

namespace egalaxyd {

/// The key that names them, at the top of the first file.
inline constexpr std::string_view kInclude = "include";

/// Included files that one configuration may have.
inline constexpr std::size_t kMostIncluded = 1000;

/// `pattern`, which is relative to `folder`, in its parts. Its wildcards are *, ? and [...], as
/// glob(3) has them; a backslash is a letter like any other. Pure.
IncludePattern splitPattern(const std::filesystem::path& folder,
                            const std::filesystem::path& pattern);

/// Whether it may name more than one file, or none. Pure.
bool hasWildcard(const IncludePattern& pattern);

/// The files that it names now, sorted by their bytes; a pattern without wildcard names its file
/// whether it is there or not. A folder that is not there has none; one that cannot be read is an
/// error. Waits for the disk; single-threaded.
Result<std::vector<std::filesystem::path>> filesOf(const IncludePattern& pattern);

/// Whether it names `path`, relative to its folder, or a version of that which an editor or a
/// package manager leaves beside it: "sites.d/.a.toml.swp", "a.toml~", "a.toml.dpkg-old". Pure.
bool namesFileOrVersion(const IncludePattern& pattern, std::string_view path);

}  // namespace egalaxyd
