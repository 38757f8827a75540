// What the control socket may ask of the database: users and upload records.
#pragma once

#include <Poco/JSON/Object.h>

#include <optional>
#include <string>

#include "common/config/config.h"
#include "common/storage/storage.h"
#include "common/system/privilege.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd {

struct StorageQuery {
  ControlCommand command = ControlCommand::kUsers;  ///< or kUser, kForgetUser, kUploads, kUpload
  std::string user = {};     ///< the beginning of an id, in small hex digits; may be empty
  std::int64_t upload = 0;   ///< id
  UploadFilter filter = {};  ///< its user is not used
  std::size_t limit = 0;     ///< rows of a list
};

/// kInvalid, in words for the client, for another command, and for arguments that make no sense.
/// Pure.
Result<StorageQuery> readStorageQuery(const ControlRequest& request);
/// Does what is asked, as one transaction. Blocks as long as the storage does. Lists are cut at the
/// limit, or where they hold some 256 KiB, and "users_more", "uploads_more", "pending_more" or
/// "metadata_more" says so. What fails is said in the answer.
/// `people` gives users their names.
Poco::JSON::Object answerStorageQuery(const StorageQuery& query, Storage& storage,
                                      const People& people = {});
/// The same of the server's database, in a process that was forked for it: becomes `account`, keeps
/// nothing but the database's folder, and waits for a worker's write, some seconds at most.
Poco::JSON::Object askDatabase(const StorageQuery& query, const Config& config,
                               const std::optional<Account>& account);

}  // namespace egalaxyd
