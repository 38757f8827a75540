#include "tests/fuzz/support.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/wire/media_type.h"
#include "worker/site/response.h"

namespace egalaxyd::fuzz {

void require(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", property);
  std::abort();
}

void requireLegalHeader(std::string_view header) {
  require(header.size() > 5 && header.ends_with("\r\n"), "a message, and CRLF at the end");
  header.remove_suffix(2);
  const auto digit = [&](std::size_t i) { return header[i] - '0'; };
  require(digit(0) >= 1 && digit(0) <= 6 && digit(1) >= 0 && digit(1) <= 9, "two digits");
  const int status = digit(0) * 10 + digit(1);
  require(isStatus(status), "a specified status");
  require(header[2] == ' ' && header[3] != ' ', "exactly one space");
  const std::string_view meta = header.substr(3);
  require(isPrintable(meta), "printable UTF-8");
  require(meta.size() <= kMaxMetaBytes, "META at most 1024 bytes");
  require(!meta.starts_with("\xEF\xBB\xBF"), "no U+FEFF in front");
  require(status != 20 || isMediaType(meta), "a media type");
  require(status / 10 != 3 || meta.find(' ') == std::string_view::npos, "a target without spaces");
  require(status / 10 != 3 || !meta.starts_with("//"), "no target on another host by accident");
}

void requireLegalSpartanHeader(std::string_view header) {
  require(header.size() > 4 && header.ends_with("\r\n"), "a message, and CRLF at the end");
  header.remove_suffix(2);
  require(header[0] >= '2' && header[0] <= '5', "one digit");
  require(header[1] == ' ' && header[2] != ' ', "exactly one space");
  const std::string_view message = header.substr(2);
  for (const char c : message) require(c >= ' ' && c <= '~', "printable ASCII");
  require(message.size() <= 3 * kMaxMetaBytes, "a bounded message");
  require(header[0] != '2' || isMediaType(message), "a media type");
  require(header[0] != '3' || message.starts_with('/'), "an absolute path");
  require(header[0] != '3' || !message.starts_with("//"), "no other host");
  require(header[0] != '3' || message.find_first_of(" ?#") == std::string_view::npos,
          "only a path");
}

void requireNormalPath(std::string_view path) {
  require(path.starts_with('/'), "a leading slash");
  require(isPrintable(path), "printable UTF-8");
  const std::string closed = std::string(path) + (path.ends_with('/') ? "" : "/");
  for (const char* segment : {"//", "/./", "/../"}) {
    require(closed.find(segment) == std::string::npos, "no empty, '.' or '..' segment");
  }
}

}  // namespace egalaxyd::fuzz
