// Titan's parameters after a URL's path: ";size=3;mime=text/plain;token=x", or ";edit". Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "worker/site/request_line.h"

namespace egalaxyd {

/// Splits a request line, without its CRLF, at the parameters. They are on the last segment of the
/// path, before the query (Titan, "Requests"). Their values may hold '/'; a ';' in an earlier
/// segment is part of the path.
struct TitanParts {
  std::string_view before;      ///< scheme to path
  std::string_view parameters;  ///< without the first ';'; "" if there are none
  std::string_view query;       ///< with its '?'; "" if there is none
};
TitanParts splitTitanLine(std::string_view line);

/// Names are lower-case, except "edit"; values are percent-decoded. Unknown parameters are ignored.
/// Returns a text for the client if they are malformed: no size or a bad one, a parameter twice,
/// "edit" with others or with a value, a byte that no URL may hold (spaces are accepted).
std::variant<UploadLine, std::string> parseTitanParameters(std::string_view parameters);

/// The announced size even if the parameters, or the line, are otherwise malformed; nullopt if it
/// cannot be read.
std::optional<std::uint64_t> announcedSize(std::string_view parameters);

}  // namespace egalaxyd
