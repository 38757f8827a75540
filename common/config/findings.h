// What a look at a configuration, and at the files that it names, has found.
#pragma once

#include <string>
#include <string_view>

#include "common/config/config.h"

namespace egalaxyd {

struct Findings {
  Complaints complaints;  ///< with any of these the configuration must not serve
  Complaints warnings;  ///< it serves, yet somebody should look: told at --check, start and reload
};

/// A table of a configuration.
struct TablePlace {
  std::string key;    ///< dotted, as written: sites."example.org"."/"
  std::string where;  ///< for complaints about the table itself
};

/// Complains of `key` of the table, or of the table where the file does not set the key. Not of a
/// key that has been complained of.
void complainOf(const Config& config, Complaints& complaints, const TablePlace& table,
                std::string_view key, std::string_view text);

/// Where the folder or file stands that the mount's module cannot do without; the mount itself for
/// modules that need none, and for what is from no file.
std::string whereOf(const Config& config, const MountConfig& mount);

}  // namespace egalaxyd
