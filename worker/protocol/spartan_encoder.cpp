#include "worker/protocol/spartan_encoder.h"

#include <optional>
#include <utility>

#include "common/base/path.h"
#include "common/wire/uri.h"
#include "worker/protocol/gemini_encoder.h"

namespace egalaxyd {

namespace {

constexpr std::size_t kMetaAt = 3;  ///< in Gemini's header: two digits and a space

std::string headerLine(char digit, std::string_view meta) {
  std::string line(1, digit);
  line += ' ';
  line += meta;
  line += "\r\n";
  return line;
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

/// The absolute path that Spartan's redirects want; nullopt where there is none.
std::optional<std::string> redirectPath(std::string_view target, std::string_view host) {
  // A path is parsed as a URL of our own, so that both are held to the same rules.
  const std::string url =
      target.starts_with('/') ? "spartan://h" + std::string(target) : std::string(target);
  auto parsed = parseUri(url);
  auto* uri = std::get_if<Uri>(&parsed);
  if (uri == nullptr || uri->query) return std::nullopt;
  if (!target.starts_with('/')) {
    const bool ours = uri->scheme == "gemini" || uri->scheme == "spartan";
    if (!ours || uri->host != host) return std::nullopt;
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

std::string encodeSpartanHeader(Response& response, const SpartanTarget& asked) {
  const std::string gemini = encodeGeminiHeader(response);  // a legal one, whatever it holds
  const std::string_view meta =
      std::string_view(gemini).substr(kMetaAt, gemini.size() - kMetaAt - 2);
  switch (gemini[0]) {
    case '1':
      response.body = std::make_unique<StringBody>(promptPage(meta, gemini[1] == '1', asked.path));
      return headerLine('2', "text/gemini");
    case '2':
      return headerLine('2', meta);
    case '3':
      if (const auto path = redirectPath(meta, asked.host)) return headerLine('3', *path);
      return headerLine('4', "This page is at a place that Spartan cannot be sent to");
    case '4':
      if (gemini[1] != '4') return headerLine('5', asciiOf(meta));
      return headerLine('4', "Too many requests: wait " + asciiOf(meta) + " seconds");
    case '6':
      return headerLine('4', "This page is for certificates: come over Gemini");
    default:
      return headerLine('4', asciiOf(meta));
  }
}

}  // namespace egalaxyd
