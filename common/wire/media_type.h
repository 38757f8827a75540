// File name to media type.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace egalaxyd {

/// The media type of `fileName` by its longest known extension (".tar.gz" before ".gz"), compared
/// without case: a built-in table first, then /etc/mime.types when the machine has one. "" when
/// none is known; the dot of a hidden file begins no extension. The view is valid for the
/// process's life. Reads /etc/mime.types where readMediaTypes() has not.
std::string_view mediaTypeOf(std::string_view fileName);
/// Reads /etc/mime.types, once; to be called before workers are forked and confined.
void readMediaTypes();

/// Whether `text` is "type/subtype" with optional parameters (RFC 2045), at most kMaxMetaBytes of
/// printable ASCII: safe to send as META.
bool isMediaType(std::string_view text);

/// Extension, lower-case with its dot, to media type.
using MediaTypes = std::unordered_map<std::string, std::string>;

/// The contents of a mime.types file: "type/subtype ext ext ..." per line, '#' begins a comment.
/// Lines without a media type count for nothing; the first to name an extension wins.
MediaTypes parseMimeTypes(std::string_view contents);

}  // namespace egalaxyd
