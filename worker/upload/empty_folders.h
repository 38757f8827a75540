// Folders that uploads have left empty.
#pragma once

#include <cstddef>
#include <string_view>

#include "worker/file/site_root.h"

namespace egalaxyd {

/// Removes `folder`, normalised and relative to `root`, and those that it lies in, from within, as
/// long as they are empty: only what uploads may have made, which is what lies below the root, not
/// behind a link, in no more than `depth` folders, and belongs to this process's account. An upload
/// that has such a folder open makes it anew. Blocking.
void removeEmptyFolders(const SiteRoot& root, std::string_view folder, std::size_t depth);

}  // namespace egalaxyd
