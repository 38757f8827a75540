// The variables that a script or an application is given for a request. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/config/config.h"
#include "worker/dynamic/named_value.h"
#include "worker/site/request.h"

namespace egalaxyd {

/// What is known besides the request.
struct ScriptFacts {
  std::string mount;         ///< the whole one, decoded: "/cgi-bin"; "" for "/"
  std::string script;        ///< its path below the mount, decoded: "a/b"; "": the mount itself
  std::string pathInfo;      ///< what follows, decoded: "" or begins with '/'
  std::string scriptFile;    ///< the program's absolute path; "": not known
  std::string documentRoot;  ///< absolute; "": none
  std::uint64_t bodySize = 0;
  std::string user;  ///< the id that egalaxyctl shows; "": nothing is kept for the certificate
};

/// By their places in kScriptVariables, none twice.
using ScriptVariables = std::vector<std::pair<std::uint8_t, std::string>>;

/// nullopt: they would exceed kMostVariableBytes, which is answered 59. No value holds a NUL.
/// Reads the client certificate, if there is one: loop thread only.
std::optional<ScriptVariables> scriptVariables(const Request& request, const ScriptFacts& facts,
                                               ScriptStyle style);

/// The same with their names, and `more`, the configuration's; views of both.
std::vector<NamedValue> namedValues(const ScriptVariables& variables,
                                    const std::map<std::string, std::string>& more);

}  // namespace egalaxyd
