#include "ctl/client/client_request.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "common/base/limits.h"
#include "common/base/path.h"

namespace egalaxyd::ctl {
namespace {

/// Spartan's line is ASCII; a percent-encoding that is there stays.
std::string asciiPath(const std::string& path) {
  std::string ascii;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    ascii += byte < 0x80 ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return ascii.empty() ? "/" : ascii;
}

std::string spartanLine(const Target& target, std::uint64_t size) {
  return fmt::format("{} {} {}\r\n", hostInUrl(target.uri.host), asciiPath(target.uri.path), size);
}

/// Other servers know their names in ASCII alone.
std::string withCanonicalHost(std::string url, const Uri& uri) {
  const std::size_t begin = url.find("://") + 3;
  const std::size_t end = std::min(url.find_first_of("/?", begin), url.size());
  const auto isPlain = [](char c) { return (c & 0x80) == 0 && c != '%'; };
  if (std::all_of(url.begin() + static_cast<std::ptrdiff_t>(begin),
                  url.begin() + static_cast<std::ptrdiff_t>(end), isPlain)) {
    return url;
  }
  const std::string port = uri.port ? fmt::format(":{}", *uri.port) : "";
  return url.replace(begin, end - begin, uri.host + port);
}

bool isDigit(char c) { return c >= '0' && c <= '9'; }

bool isAnswerLine(Protocol protocol, const std::string& text) {
  if (protocol == Protocol::kSpartan) {
    return text.size() > 1 && text[0] >= '2' && text[0] <= '5' && text[1] == ' ';
  }
  return text.size() > 1 && text[0] >= '1' && text[0] <= '6' && isDigit(text[1]) &&
         (text.size() == 2 || text[2] == ' ');
}

}  // namespace

Result<Target> parseTarget(std::string url, Protocol usual) {
  url = url.substr(0, url.find('#'));
  if (url.find("://") == std::string::npos) url = fmt::format("{}://{}", nameOf(usual), url);
  auto parsed = parseUri(url);
  if (const auto* error = std::get_if<UriError>(&parsed)) {
    return Error{ErrorCode::kInvalid, fmt::format("{}: {}", printable(url), describe(*error))};
  }
  Uri& uri = std::get<Uri>(parsed);
  const auto protocol =
      std::ranges::find_if(kProtocols, [&](Protocol each) { return nameOf(each) == uri.scheme; });
  if (protocol == kProtocols.end()) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{}: {}:// is not spoken here", printable(url), uri.scheme)};
  }
  const std::uint16_t usualPort = *protocol == Protocol::kSpartan ? kSpartanPort : kGeminiPort;
  const std::uint16_t port = uri.port.value_or(usualPort);
  return Target{*protocol, withCanonicalHost(std::move(url), uri), std::move(uri), port};
}

Target pageBelow(const Target& folder, std::string_view name) {
  Target page = folder;
  const std::string encoded = percentEncodePath(name);
  page.url.insert(std::min(page.url.find('?'), page.url.size()), encoded);
  page.uri.path += encoded;
  return page;
}

std::string readingRequest(const Target& target) {
  if (target.protocol != Protocol::kSpartan) return target.url + "\r\n";
  const std::string data = percentDecode(target.uri.query.value_or("")).value_or("");
  return spartanLine(target, data.size()) + data;
}

std::string uploadRequest(const Target& target, const UploadLine& line) {
  if (target.protocol == Protocol::kSpartan) return spartanLine(target, line.size);
  const std::size_t mark = std::min(target.url.find('?'), target.url.size());
  std::string request = target.url.substr(0, mark);
  if (target.uri.path.empty()) request += '/';
  request += fmt::format(";size={}", line.size);
  if (!line.mime.empty()) request += ";mime=" + percentEncodeSegment(line.mime);
  if (!line.token.empty()) request += ";token=" + percentEncodeSegment(line.token);
  return request + target.url.substr(mark) + "\r\n";
}

Result<AnswerLine> parseAnswerLine(Protocol protocol, std::string text) {
  if (!isAnswerLine(protocol, text)) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("the server's answer is not {}: \"{}\"",
                             protocol == Protocol::kSpartan ? "Spartan" : "Gemini",
                             printable(text.substr(0, 80)))};
  }
  const std::size_t digits = protocol == Protocol::kSpartan ? 1 : 2;
  std::string meta = text.size() > digits ? text.substr(digits + 1) : "";
  const int kind = text[0] - '0';
  return AnswerLine{std::move(text), kind, std::move(meta)};
}

}  // namespace egalaxyd::ctl
