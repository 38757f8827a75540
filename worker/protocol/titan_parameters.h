// The parameters that Titan puts behind a URL's path: ";size=3;mime=text/plain;token=x", or
// ";edit". Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "worker/site/request_line.h"

namespace egalaxyd {

/// Where the parameters stand in a request line without its CRLF. Titan, "Requests": on the last
/// segment of the path, before the query. Their values may hold '/'; a ';' in an earlier segment is
/// part of the path.
struct TitanParts {
  std::string_view before;      ///< scheme to path
  std::string_view parameters;  ///< without the first ';'; "" where there are none
  std::string_view query;       ///< with its '?'; "" where there is none
};
TitanParts splitTitanLine(std::string_view line);

/// Names are lower-case, "edit" apart; values are percent-decoded. Unknown parameters count for
/// nothing. A text for the client where they are malformed: no size or a bad one, a parameter
/// twice, "edit" with others or with a value, a byte that no URL may hold (spaces are accepted).
std::variant<UploadLine, std::string> parseTitanParameters(std::string_view parameters);

/// What they announce although something else is wrong with them, or with the line; nullopt: that
/// cannot be told.
std::optional<std::uint64_t> announcedSize(std::string_view parameters);

}  // namespace egalaxyd
