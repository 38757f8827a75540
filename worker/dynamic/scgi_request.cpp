#include "worker/dynamic/scgi_request.h"

#include <string_view>

namespace egalaxyd {
namespace {

void addHeader(std::string& headers, std::string_view name, std::string_view value) {
  headers.append(name).append(1, '\0').append(value).append(1, '\0');
}

}  // namespace

std::string scgiRequest(std::uint64_t bodySize, std::span<const NamedValue> variables) {
  std::string headers;
  addHeader(headers, "CONTENT_LENGTH", std::to_string(bodySize));
  addHeader(headers, "SCGI", "1");
  for (const auto& [name, value] : variables) {
    if (name != "CONTENT_LENGTH" && name != "SCGI") addHeader(headers, name, value);
  }
  return std::to_string(headers.size()).append(":").append(headers).append(",");
}

}  // namespace egalaxyd
