// module = "directory".
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "common/config.h"
#include "worker/file/private_files.h"
#include "worker/file/site_root.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// A static tree: files, index files, listings. What is in memory is answered at once, the rest
/// from the pool.
class DirectorySite final : public Site {
 public:
  /// `root` is args.root, open. What `neverServed` holds is as good as missing.
  DirectorySite(DirectoryArgs args, SiteRoot root, std::shared_ptr<const PrivateFiles> neverServed);
  void handle(Request request, Responder reply, Services& services) override;

 private:
  struct FoundFile {
    std::string name;
    OpenFile file;
  };
  struct MissingSlash {};
  struct Listing {
    std::string text;
  };
  using Found = std::variant<FoundFile, MissingSlash, Listing>;

  /// Any thread. `sitePath` as Request::sitePath, `title` for a listing. kBusy: ask the pool.
  Result<Found> find(std::string_view sitePath, const std::string& title, Waiting waiting) const;
  Result<Found> findInFolder(std::string_view folder, const std::string& title,
                             Waiting waiting) const;
  Response responseOf(const Request& request, Result<Found> found, Services& services);
  Response listingResponse(std::string text);
  std::string mediaTypeFor(std::string_view fileName) const;

  const DirectoryArgs args_;  ///< the extensions in `mime` are lower-case
  const SiteRoot root_;
  const std::shared_ptr<const PrivateFiles> neverServed_;
  std::size_t listingBytes_ = 0;  ///< of listings that are being sent; loop thread only
};

}  // namespace egalaxyd
