#include "worker/protocol/spartan_encoder.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "common/base/path.h"
#include "common/wire/uri.h"
#include "worker/protocol/gemini_encoder.h"

namespace egalaxyd {

namespace {

/// Spartan's statuses.
enum Digit { kSuccess = 2, kRedirect = 3, kClientError = 4, kServerError = 5 };

Header headerOf(Digit digit, std::string meta) {
  Header header{digit, std::move(meta), {}};
  header.line = std::to_string(header.status);
  header.line += ' ';
  header.line += header.meta;
  header.line += "\r\n";
  return header;
}

/// A '?' for each character that is not ASCII.
std::string asciiOf(std::string_view text) {
  std::string ascii;
  while (!text.empty()) {
    const std::size_t length = printableLength(text);
    ascii += length == 1 ? text.front() : '?';
    text.remove_prefix(length);
  }
  return ascii;
}

/// Of a reference that is relative to `path`; nullopt if it leads above the root, or has a query.
std::optional<std::string> relativePath(std::string_view target, std::string_view path) {
  const std::string folder(path.substr(0, path.rfind('/') + 1));
  auto parsed = parseUri("spartan://h" + percentEncodePath(folder.empty() ? "/" : folder) +
                         std::string(target));
  const auto* uri = std::get_if<Uri>(&parsed);
  if (uri == nullptr || uri->query) return std::nullopt;
  const auto resolved = normalisePathKeepingSlashes(uri->path);
  const auto* whole = std::get_if<std::string>(&resolved);
  return whole == nullptr ? std::nullopt : std::optional(percentEncodePath(*whole));
}

/// The absolute path that a Spartan redirect needs; nullopt if there is none.
std::optional<std::string> redirectPath(std::string_view target, const SpartanTarget& asked) {
  // A path is parsed as part of a URL, so that both kinds of target obey the same rules.
  const std::string url =
      target.starts_with('/') ? "spartan://h" + std::string(target) : std::string(target);
  auto parsed = parseUri(url);
  const auto* error = std::get_if<UriError>(&parsed);
  if (error != nullptr && *error == UriError::kNoScheme) return relativePath(target, asked.path);
  auto* uri = std::get_if<Uri>(&parsed);
  if (uri == nullptr || uri->query) return std::nullopt;
  if (!target.starts_with('/')) {
    const bool ours = uri->scheme == "gemini" || uri->scheme == "spartan";
    if (!ours || uri->host != asked.host) return std::nullopt;
  }
  std::string path;
  for (const char c : uri->path) {
    path += static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : percentEncodePath({&c, 1});
  }
  if (path.empty()) path = "/";
  return path.starts_with("//") ? std::nullopt : std::optional(std::move(path));
}

/// `prompt` is a line of printable text.
std::string promptPage(std::string_view prompt, bool secret, std::string_view path) {
  std::string page(prompt);
  page += "\n\n";
  if (secret) page += "What you send is not encrypted on its way.\n\n";
  page += "=: ";
  page += percentEncodePath(path);
  page += " Answer\n";
  return page;
}

}  // namespace

Header encodeSpartanHeader(Response& response, const SpartanTarget& asked) {
  const Header gemini = encodeGeminiHeader(response);  // legal, whatever the response holds
  switch (gemini.status / 10) {
    case 1: {
      const bool secret = gemini.status == static_cast<int>(Status::kSensitiveInput);
      response.body = std::make_unique<StringBody>(promptPage(gemini.meta, secret, asked.path));
      return headerOf(kSuccess, "text/gemini");
    }
    case 2:
      return headerOf(kSuccess, gemini.meta);
    case 3:
      if (auto path = redirectPath(gemini.meta, asked)) return headerOf(kRedirect, *path);
      return headerOf(kClientError, "This page is at a place that Spartan cannot be sent to");
    case 4:
      if (gemini.status != static_cast<int>(Status::kSlowDown)) {
        return headerOf(kServerError, asciiOf(gemini.meta));
      }
      return headerOf(kClientError, "Too many requests: wait " + asciiOf(gemini.meta) + " seconds");
    case 6:
      return headerOf(kClientError, "This page is for certificates: come over Gemini");
    default:
      return headerOf(kClientError, asciiOf(gemini.meta));
  }
}

}  // namespace egalaxyd
