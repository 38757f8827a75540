// From the record of an upload to its file, by the configuration.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/file/private_files.h"
#include "common/file/site_root.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// A mount that takes uploads.
struct UploadTree {
  std::string host;
  std::string path;  ///< of the mount; "" for "/"
  const DirectoryArgs* args = nullptr;
};
using UploadTrees = std::vector<UploadTree>;

/// All of them; `config` must outlive the result.
UploadTrees uploadTreesOf(const Config& config);

/// Where a record's file is.
struct RecordPlace {
  SiteRoot root;
  std::string relative;
  const UploadTree* tree;

  std::string folder() const {
    const std::size_t slash = relative.rfind('/');
    return slash == std::string::npos ? "" : relative.substr(0, slash);
  }
  const UploadArgs& rules() const { return *tree->args->upload; }
};

/// The most specific tree that `record`, which is not trusted, falls into. kNotFound: no site takes
/// uploads there. kIo: its root cannot be opened now.
Result<RecordPlace> placeOf(const UploadTrees& trees, const UploadRecord& record);

/// Where an upload goes, and its limits there.
struct UploadPlace {
  std::shared_ptr<const SiteRoot> root;
  std::string relative;  ///< normalised, without a leading slash; names a file
  std::shared_ptr<const PrivateFiles> neverServed;
  bool createFolders = false;  ///< make missing ones; a deletion removes those that it empties
  std::size_t newFolders = 8;  ///< how many may be made
  std::size_t depth = 32;      ///< how deep uploads may make folders
  FreeFloor minFree = {};
  std::uint32_t mode = 0;  ///< of a new file; 0: the folder's, without x
  std::uint64_t size = 0;  ///< of the new content, as announced
};

/// Where a file goes that an upload of `size` bytes would bring there.
UploadPlace uploadPlaceOf(RecordPlace place, std::shared_ptr<const PrivateFiles> neverServed,
                          std::uint64_t size);

}  // namespace egalaxyd
