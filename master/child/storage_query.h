// What the control socket may ask of the database: users and upload records.
#pragma once

#include <Poco/JSON/Object.h>

#include <string>

#include "common/storage/storage.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd {

struct StorageQuery {
  enum class Kind { kUsers, kUser, kForgetUser, kUploads, kUpload };

  Kind kind = Kind::kUsers;
  std::string user = {};     ///< the beginning of an id, in small hex digits; may be empty
  std::int64_t upload = 0;   ///< id
  UploadFilter filter = {};  ///< its user is not used
  std::size_t limit = 0;     ///< rows of a list
};

/// Whether `command` is one of those.
bool isStorageQuery(const std::string& command);
/// kInvalid, in words for the client, for arguments that make no sense. Pure.
Result<StorageQuery> readStorageQuery(const ControlRequest& request);
/// Does what is asked, as one transaction. Blocks as long as the storage does. Lists are cut at the
/// limit, or where they hold some 256 KiB, and "users_more", "uploads_more", "pending_more" or
/// "metadata_more" says so. What fails is said in the answer.
Poco::JSON::Object answerStorageQuery(const StorageQuery& query, Storage& storage);

}  // namespace egalaxyd
