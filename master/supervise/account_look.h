// A look at the file system with the eyes of another account.
#pragma once

#include <functional>
#include <optional>

#include "common/config/config.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// What `look` finds: in a process of its own that has become `account`, or in this one where there
/// is none. Waits for it ten seconds at most; a look that does not end is a finding as well.
Complaints lookAs(const std::optional<Account>& account, const std::function<Complaints()>& look);

/// What `look` finds in a process of its own, so that nothing that waits, and no thread, is left in
/// this one. Likewise.
Complaints lookApart(const std::function<Complaints()>& look);

}  // namespace egalaxyd
