// What the control socket may ask of earlier content of files.
#pragma once

#include <Poco/JSON/Object.h>

#include <cstdint>
#include <optional>

#include "common/config/config.h"
#include "common/system/privilege.h"
#include "common/wire/control_protocol.h"
#include "worker/worker.h"

namespace egalaxyd {

struct VersionQuery {
  std::int64_t upload = 0;  ///< the record's id
  WhichContent which = WhichContent::kIts;
  std::uint64_t piece = 0;
};

/// "id", and "which" ("its", "before", "current") and "piece" of kContent. kInvalid, in words for
/// the client. Pure.
Result<VersionQuery> readVersionQuery(const ControlRequest& request);

// In a process that was forked for it, which they confine as a worker. They block.

/// {"ok":true,"bytes":"<base64>","sha256":"…","last":false}: one piece of a content.
Poco::JSON::Object askContent(const VersionQuery& query, const Config& config,
                              const std::optional<Account>& account);
/// {"ok":true,"upload":ID}: the record that the restored content has now.
Poco::JSON::Object askRestore(const VersionQuery& query, const Config& config,
                              const std::optional<Account>& account, std::int64_t uploader);

}  // namespace egalaxyd
