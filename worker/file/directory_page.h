// The listing of a folder as gemtext.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "worker/file/site_root.h"

namespace egalaxyd {

/// Of a folder with more entries those are listed whose names come first, and its page says so.
inline constexpr std::size_t kMaxListedEntries = 10'000;
/// Of a folder with more none is, and its page says so: even their names take long to read.
inline constexpr std::size_t kMaxReadEntries = 1'000'000;
/// A longer HEADER.gmi is left out.
inline constexpr std::size_t kMaxHeaderBytes = 64 * 1024;

struct DirectoryPageRequest {
  std::string folder;     ///< as SiteRoot::open takes it
  std::string title;      ///< the folder as clients know it
  bool hidden = false;    ///< also entries that begin with '.'
  bool hasParent = true;  ///< whether ".." is this site's to link to
  std::size_t maxEntries = kMaxListedEntries;
  std::size_t maxRead = kMaxReadEntries;
};

/// Title, HEADER.gmi (in place of the title when it begins with one of its own; preformatted text
/// that it leaves open is ended), the parent, then
/// folders before files, each by name; lines end with LF. Entries that cannot be asked for are left
/// out: links that the root's policy refuses, private keys, FIFOs and the like, and names that are
/// not UTF-8 or hold control characters, of which the log tells once for each folder.
/// Waits for the disk: pool only. Errors as SiteRoot::open; a file in place of a folder is
/// kNotFound.
Result<std::string> directoryPage(const SiteRoot& root, const DirectoryPageRequest& request);

/// `name` as part of a gemtext line, with U+FFFD for what is invisible; "" when it holds control
/// characters or is not UTF-8.
std::string pageLabel(std::string_view name);

}  // namespace egalaxyd
