// Which part of a request's path may name a script, and what follows it. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace egalaxyd {

struct ScriptPlace {
  std::string script;    ///< below the mount's root, without '/' in front: "a/b"
  std::string pathInfo;  ///< "" or begins with '/'; encoded slashes are '/' like others
};

/// The place of the script that the first `count` segments name, one at least. nullopt: the path
/// has fewer, or an encoded '/' in them, which no file's name has. `sitePath` is Request's:
/// normalised, with kEncodedSlash, "" or beginning with '/'.
std::optional<ScriptPlace> scriptPlace(std::string_view sitePath, std::size_t count);

/// PATH_INFO where one program answers for the whole mount.
std::string pathInfoOf(std::string_view sitePath);

}  // namespace egalaxyd
