#include "common/wire/media_type.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/limits.h"
#include "common/base/regular_file.h"

namespace egalaxyd {

namespace {

constexpr std::size_t kMaxMimeTypes = 16 << 20;

struct Known {
  std::string_view extensions;  ///< separated by spaces
  std::string_view type;
};

/// Compressed files are what they are: Gemini has no content encoding.
constexpr Known kKnown[] = {
    {"gmi gemini", "text/gemini"},
    {"gpub", "application/gpub+zip"},
    {"txt text log conf ini", "text/plain"},
    {"md markdown", "text/markdown"},
    {"html htm", "text/html"},
    {"xhtml", "application/xhtml+xml"},
    {"css", "text/css"},
    {"csv", "text/csv"},
    {"tsv", "text/tab-separated-values"},
    {"ics", "text/calendar"},
    {"vcf", "text/vcard"},
    {"js mjs", "text/javascript"},
    {"json", "application/json"},
    {"xml", "application/xml"},
    {"atom", "application/atom+xml"},
    {"rss", "application/rss+xml"},
    {"toml", "application/toml"},
    {"yaml yml", "application/yaml"},
    {"wasm", "application/wasm"},
    {"c h cpp hpp cc py rs go sh pl rb lua patch diff", "text/plain"},
    {"png", "image/png"},
    {"jpg jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"svg", "image/svg+xml"},
    {"bmp", "image/bmp"},
    {"ico", "image/vnd.microsoft.icon"},
    {"tif tiff", "image/tiff"},
    {"jxl", "image/jxl"},
    {"mp3", "audio/mpeg"},
    {"ogg oga", "audio/ogg"},
    {"opus", "audio/opus"},
    {"flac", "audio/flac"},
    {"wav", "audio/x-wav"},
    {"m4a", "audio/mp4"},
    {"mid midi", "audio/midi"},
    {"mp4 m4v", "video/mp4"},
    {"webm", "video/webm"},
    {"ogv", "video/ogg"},
    {"mkv", "video/x-matroska"},
    {"mov", "video/quicktime"},
    {"avi", "video/x-msvideo"},
    {"mpg mpeg", "video/mpeg"},
    {"ttf", "font/ttf"},
    {"otf", "font/otf"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"pdf", "application/pdf"},
    {"ps eps", "application/postscript"},
    {"rtf", "application/rtf"},
    {"epub", "application/epub+zip"},
    {"mobi", "application/x-mobipocket-ebook"},
    {"djvu", "image/vnd.djvu"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"gz tgz", "application/gzip"},
    {"bz2 tbz2", "application/x-bzip2"},
    {"xz txz", "application/x-xz"},
    {"zst", "application/zstd"},
    {"zip", "application/zip"},
    {"tar", "application/x-tar"},
    {"7z", "application/x-7z-compressed"},
    {"deb", "application/vnd.debian.binary-package"},
    {"iso", "application/x-iso9660-image"},
};

/// Takes the next word off the front of `text`; "" at its end.
std::string_view nextWord(std::string_view& text) {
  constexpr std::string_view blanks = " \t\r";
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(blanks));
  text.remove_prefix(word.size());
  return word;
}

void addLine(MediaTypes& types, std::string_view extensions, std::string_view type) {
  for (auto word = nextWord(extensions); !word.empty(); word = nextWord(extensions)) {
    types.emplace(std::string(1, '.').append(lowerCase(word)), type);
  }
}

const MediaTypes& builtInTypes() {
  static const MediaTypes types = [] {
    MediaTypes made;
    for (const Known& known : kKnown) addLine(made, known.extensions, known.type);
    return made;
  }();
  return types;
}

const MediaTypes& machineTypes() {
  static const MediaTypes types = [] {
    const auto file = readRegularFile("/etc/mime.types", kMaxMimeTypes);
    return file ? parseMimeTypes(*file) : MediaTypes();
  }();
  return types;
}

/// By the longest extension: the first dot's, then the next one's. `name` is lower-case.
std::string_view findByExtension(const MediaTypes& types, const std::string& name) {
  for (auto dot = name.find('.', 1); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    const auto found = types.find(name.substr(dot));
    if (found != types.end()) return found->second;
  }
  return {};
}

/// Length of the token (RFC 2045) at the start of `text`.
std::size_t tokenLength(std::string_view text) {
  const auto end = std::ranges::find_if(text, [](char c) {
    return c <= ' ' || c >= '\x7F' ||
           std::string_view("()<>@,;:\\\"/[]?=").find(c) != std::string_view::npos;
  });
  return static_cast<std::size_t>(end - text.begin());
}

/// Length of the quoted string at the start of `text`, quotation marks included; 0: there is none.
std::size_t quotedLength(std::string_view text) {
  if (!text.starts_with('"')) return 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') return i + 1;
    if (text[i] == '\\') ++i;
    if (i == text.size() || text[i] < ' ' || text[i] >= '\x7F') return 0;
  }
  return 0;
}

/// Takes `length` characters off the front; false when that is none.
bool take(std::string_view& text, std::size_t length) {
  text.remove_prefix(length);
  return length > 0;
}

bool takeMark(std::string_view& text, char mark) {
  return take(text, text.starts_with(mark) ? 1 : 0);
}

}  // namespace

std::string_view mediaTypeOf(std::string_view fileName) {
  const std::string name = lowerCase(fileName.substr(fileName.rfind('/') + 1));
  const std::string_view builtIn = findByExtension(builtInTypes(), name);
  return builtIn.empty() ? findByExtension(machineTypes(), name) : builtIn;
}

void readMediaTypes() { static_cast<void>(machineTypes()); }

bool isMediaType(std::string_view text) {
  if (text.size() > kMaxMetaBytes) return false;
  if (!take(text, tokenLength(text)) || !takeMark(text, '/') || !take(text, tokenLength(text))) {
    return false;
  }
  while (!text.empty()) {
    if (!takeMark(text, ';')) return false;
    take(text, std::min(text.find_first_not_of(' '), text.size()));
    if (!take(text, tokenLength(text)) || !takeMark(text, '=')) return false;
    if (!take(text, std::max(tokenLength(text), quotedLength(text)))) return false;
  }
  return true;
}

MediaTypes parseMimeTypes(std::string_view contents) {
  MediaTypes types;
  while (!contents.empty()) {
    std::string_view line = contents.substr(0, contents.find('\n'));
    contents.remove_prefix(std::min(line.size() + 1, contents.size()));
    line = line.substr(0, line.find('#'));
    const std::string_view type = nextWord(line);
    if (isMediaType(type)) addLine(types, line, type);
  }
  return types;
}

}  // namespace egalaxyd
