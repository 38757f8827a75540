// Earlier content of files, as the server keeps it.
#pragma once

#include <iosfwd>
#include <string>

#include "common/base/result.h"
#include "ctl/base/command.h"

namespace egalaxyd::ctl {

/// Asks the server for the content of an upload and writes it to `out`. `which`: "its", "before"
/// (what the file held before it; nothing, for a new file) or "current" (what it holds now). An
/// Error where it is not kept, or does not have the sum that the record says.
Result<void> fetchContent(const Invocation& invocation, const std::string& upload,
                          const std::string& which, std::ostream& out);

}  // namespace egalaxyd::ctl
