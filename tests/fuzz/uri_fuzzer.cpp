// A text as URI: what is accepted is made of legal parts, and put together again it is itself.
#include "common/wire/uri.h"

#include <algorithm>
#include <string>

#include "common/base/path.h"
#include "tests/fuzz/support.h"

namespace egalaxyd::fuzz {
namespace {

std::string assembled(const Uri& uri) {
  std::string text = uri.scheme;
  text += ':';
  if (!uri.host.empty() || uri.port || uri.path.starts_with("//")) {
    text.append("//").append(hostInUrl(uri.host));
    if (uri.port) text.append(":").append(std::to_string(*uri.port));
  }
  text += uri.path;
  if (uri.query) text.append("?").append(*uri.query);
  return text;
}

bool operator==(const Uri& a, const Uri& b) {
  return a.scheme == b.scheme && a.host == b.host && a.port == b.port && a.path == b.path &&
         a.query == b.query;
}

bool isLowerCase(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

void uri(std::string_view input) {
  const auto parsed = parseUri(input);
  if (const auto* error = std::get_if<UriError>(&parsed)) {
    require(!describe(*error).empty(), "an error in words");
    return;
  }
  const Uri& accepted = std::get<Uri>(parsed);
  require(isPrintable(input), "printable UTF-8");
  require(input.find_first_of(" #") == std::string_view::npos, "no space, no fragment");
  require(isLowerCase(accepted.scheme) && isLowerCase(accepted.host), "lower-case");
  require(accepted.path.empty() || accepted.host.empty() || accepted.path.front() == '/',
          "a path that begins with a slash behind a host");
  require(percentDecode(accepted.path).has_value(), "a path that decodes");
  require(percentDecode(accepted.query.value_or("")).has_value(), "a query that decodes");

  const auto again = parseUri(assembled(accepted));
  require(std::holds_alternative<Uri>(again) && std::get<Uri>(again) == accepted,
          "the parts make the same URI");
}

}  // namespace egalaxyd::fuzz
