// The listing of a folder as gemtext.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/file/site_root.h"

namespace egalaxyd {

/// Of a longer listing only the first entries by name are shown, and the page says so.
inline constexpr std::size_t kMaxListedEntries = 100'000;
/// If a folder has more entries, none are listed, and the page says so: reading all names would
/// take too long.
inline constexpr std::size_t kMaxReadEntries = 1'000'000;
/// A longer HEADER.gmi is left out.
inline constexpr std::size_t kMaxHeaderBytes = 64 * 1024;

struct DirectoryPageRequest {
  std::string folder;     ///< as SiteRoot::open takes it
  std::string title;      ///< the folder as clients know it
  bool hidden = false;    ///< also entries that begin with '.'
  bool hasParent = true;  ///< whether ".." belongs to this site and gets a link
  std::size_t maxEntries = kMaxListedEntries;
  std::size_t maxRead = kMaxReadEntries;
  ListingArgs listing = {};
  std::size_t page = 1;      ///< which of the pages, if there are several
  std::string leftOut = {};  ///< a name that is never listed; "": there is none
};

/// Title, HEADER.gmi (in place of the title if it begins with a heading; preformatted text that it
/// leaves open is closed), the parent, then folders before files, each as `listing` sorts them,
/// equals by name; lines end with LF. Links to the other pages, by pageName(), come last. Entries
/// that no request could fetch are left out: links that the root's policy refuses, private keys,
/// FIFOs and the like, and names that are not UTF-8 or hold control characters, of which the log
/// warns once per folder. Only the entries of the page are opened, and links. Waits for the disk:
/// pool only. Errors as SiteRoot::open; a file in place of a folder, or a page that is not there,
/// is kNotFound.
Result<std::string> directoryPage(const SiteRoot& root, const DirectoryPageRequest& request);

/// The name that a page of a listing has in its folder: ";page=2". Not a query, which would be the
/// data block of a Spartan request, and so an upload.
std::string pageName(std::size_t page);
/// nullopt: `name` is no such name.
std::optional<std::size_t> pageNamed(std::string_view name);

/// `name` as part of a gemtext line, with U+FFFD for invisible characters; "" if it holds control
/// characters or is not UTF-8.
std::string pageLabel(std::string_view name);

}  // namespace egalaxyd
