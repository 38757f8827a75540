// File name to media type.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace egalaxyd {

/// The media type of `fileName` by its longest known extension (".tar.gz" before ".gz"), compared
/// without case: a built-in table first, then /etc/mime.types when the machine has one. "" when
/// none is known. Reads /etc/mime.types once, at the first call: make that before serving.
std::string_view mediaTypeOf(std::string_view fileName);

/// Whether `text` is "type/subtype" with optional parameters (RFC 2045), safe to send as META.
bool isMediaType(std::string_view text);

}  // namespace egalaxyd
