// Removes folders that uploads have left empty.
#pragma once

#include <cstddef>
#include <string_view>

#include "common/file/site_root.h"

namespace egalaxyd {

/// Removes `folder` (normalised, relative to `root`), then the folder that it is in, and so on
/// while they are empty. Only folders that uploads may have made: below the root, not behind a
/// link, at most `depth` deep, owned by this process's account. An upload that has such a folder
/// open makes it anew. Blocking.
void removeEmptyFolders(const SiteRoot& root, std::string_view folder, std::size_t depth);

}  // namespace egalaxyd
