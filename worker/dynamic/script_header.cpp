#include "worker/dynamic/script_header.h"

#include <algorithm>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/limits.h"
#include "common/base/number.h"
#include "common/base/path.h"
#include "common/wire/media_type.h"
#include "common/wire/uri.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMostQuoted = 80;
constexpr std::string_view kBlanks = " \t";

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string quote(std::string_view text) {
  return '"' + printable(text.substr(0, kMostQuoted)) + '"';
}

std::string_view withoutBlanks(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

/// Removes the LF at `end`, and a CR before it.
std::string_view lineUpTo(std::string_view text, std::size_t end) {
  text = text.substr(0, end);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

/// Whether `path` may stand behind a host.
bool isPathOfUri(std::string_view path) {
  return std::holds_alternative<Uri>(parseUri(std::string("gemini://h/").append(path)));
}

/// A relative reference, but for "//host", or an absolute one (RFC 3986); a fragment may follow.
bool isRedirectTarget(std::string_view text) {
  if (text.empty() || text.starts_with("//") || text.starts_with("\xEF\xBB\xBF")) return false;
  if (const std::size_t hash = text.find('#'); hash != std::string_view::npos) {
    if (!isPathOfUri(text.substr(hash + 1))) return false;
    text = text.substr(0, hash);
  }
  const auto parsed = parseUri(text);
  const auto* error = std::get_if<UriError>(&parsed);
  return error == nullptr || (*error == UriError::kNoScheme && isPathOfUri(text));
}

/// nullopt: Gemini has nothing like it.
std::optional<Status> statusOfHttp(std::int64_t code) {
  switch (code) {
    case 301:
    case 308:
      return Status::kRedirectPermanent;
    case 302:
    case 303:
    case 307:
      return Status::kRedirectTemporary;
    case 400:
    case 405:
      return Status::kBadRequest;
    case 401:
      return Status::kCertificateRequired;
    case 403:
      return Status::kCertificateNotAuthorised;
    case 404:
      return Status::kNotFound;
    case 410:
      return Status::kGone;
    case 429:
      return Status::kSlowDown;
    case 503:
      return Status::kServerUnavailable;
    default:
      break;
  }
  switch (code / 100) {
    case 2:
      return Status::kSuccess;
    case 4:
      return Status::kPermanentFailure;
    case 5:
      return Status::kCgiError;
    default:
      return std::nullopt;
  }
}

/// Makes a success's meta a media type.
void settleMediaType(ScriptHeader& header) {
  if (header.meta.empty()) {
    header.meta = "text/gemini";
    header.notes.push_back({false, "20 without a media type"});
  }
  if (isMediaType(header.meta)) return;
  header.notes.push_back({true, "the media type " + quote(header.meta) + " is malformed"});
  const std::string_view bare =
      withoutBlanks(std::string_view(header.meta).substr(0, header.meta.find(';')));
  header.meta = isMediaType(bare) ? std::string(bare) : "application/octet-stream";
}

}  // namespace

BadHeader ScriptHeaderParser::bad(std::string why) const {
  return {from_ == HeaderFrom::kProgram ? Status::kCgiError : Status::kProxyError, std::move(why),
          ""};
}

BadHeader ScriptHeaderParser::noHeader() const { return bad("no header: " + quote(said_)); }

BadHeader ScriptHeaderParser::ended() const {
  if (!silent()) return bad("ended before its header was whole: " + quote(said_));
  BadHeader nothing = bad("ended without a word");
  if (from_ == HeaderFrom::kProgram) nothing.text = "The application gave no answer";
  return nothing;
}

HeaderStep ScriptHeaderParser::feed(std::string_view bytes, std::size_t& consumed) {
  const std::size_t before = said_.size();
  consumed = 0;
  if (bytes.empty()) return NeedMore{};
  const char first = said_.empty() ? bytes.front() : said_.front();
  const bool block = isLetter(first) && from_ == HeaderFrom::kProgram;
  said_.append(bytes.substr(0, (block ? kMostHeaderBlock : kMostHeaderLine) - before));
  consumed = said_.size() - before;
  if (!isDigit(first) && !block) return noHeader();
  return block ? readBlock(before, consumed) : readLine(before, consumed);
}

HeaderStep ScriptHeaderParser::readLine(std::size_t before, std::size_t& consumed) {
  const std::size_t end = said_.find('\n', before);
  if (end == std::string::npos) {
    if (said_.size() < kMostHeaderLine) return NeedMore{};
    return noHeader();
  }
  consumed = end + 1 - before;
  said_.resize(end + 1);
  return parseLine(lineUpTo(said_, end));
}

HeaderStep ScriptHeaderParser::parseLine(std::string_view line) const {
  const std::string_view code = line.substr(0, line.find_first_of(kBlanks));
  const std::string_view behind = line.substr(code.size());
  if (!std::ranges::all_of(code, isDigit)) return noHeader();
  const int number = static_cast<int>(parseNumber(code, 0, 99).value_or(-1));
  if (code.size() != 2 || !isStatus(number)) {
    return bad("status " + std::string(code.substr(0, kMostQuoted)) + " does not exist");
  }
  ScriptHeader header{static_cast<Status>(number), std::string(withoutBlanks(behind)), {}};
  const std::size_t gap = std::min(behind.find_first_not_of(kBlanks), behind.size());
  if (gap > 1 || behind.starts_with('\t')) {
    header.notes.push_back({false, "not one space between status and meta"});
  }
  return conclude(std::move(header));
}

HeaderStep ScriptHeaderParser::readBlock(std::size_t before, std::size_t& consumed) {
  const std::string_view start = std::string_view(said_).substr(0, kMostHeaderLine);
  if (start.size() == kMostHeaderLine && start.find_first_of(":\n") == std::string_view::npos) {
    return noHeader();
  }
  std::size_t end = said_.find('\n', before);
  for (; end != std::string::npos; end = said_.find('\n', lineStart_)) {
    const std::string_view line =
        lineUpTo(std::string_view(said_).substr(lineStart_), end - lineStart_);
    lineStart_ = end + 1;
    if (line.empty()) {
      consumed = lineStart_ - before;
      return concludeBlock();
    }
    if (!takeField(line)) return noHeader();
  }
  if (said_.size() < kMostHeaderBlock) return NeedMore{};
  return bad("header too long: no empty line within 8 KiB: " + quote(said_));
}

/// False if it is no "Name: value".
bool ScriptHeaderParser::takeField(std::string_view line) {
  const std::size_t colon = std::min(line.find(':'), line.size());
  const std::string name = lowerCase(line.substr(0, colon));
  const bool isName = !name.empty() && std::ranges::all_of(name, [](char c) {
    return isLetter(c) || isDigit(c) || c == '-' || c == '_';
  });
  if (!isName || colon == line.size()) return false;
  const std::string_view value = withoutBlanks(line.substr(colon + 1));
  if (name == "content-type") contentType_ = value;
  if (name == "location") location_ = value;
  if (name == "status") status_ = value;
  return true;
}

HeaderStep ScriptHeaderParser::concludeBlock() const {
  if (!status_) {
    if (location_) return conclude({Status::kRedirectTemporary, *location_, {}});
    if (contentType_) return conclude({Status::kSuccess, *contentType_, {}});
    return bad("a header without Content-Type");
  }
  const std::string_view code =
      std::string_view(*status_).substr(0, status_->find_first_of(kBlanks));
  const auto number = parseNumber(code, 100, 999);
  const auto status = number && code.size() == 3 ? statusOfHttp(*number) : std::nullopt;
  if (!status) return bad("Status: " + quote(*status_) + " means nothing here");
  ScriptHeader header{*status, "", {}};
  switch (*status) {
    case Status::kSuccess:
      header.meta = contentType_.value_or("text/gemini");
      break;
    case Status::kRedirectTemporary:
    case Status::kRedirectPermanent:
      header.meta = location_.value_or("");
      break;
    case Status::kSlowDown:
      break;  // clients read a number of seconds
    default:
      header.meta = withoutBlanks(std::string_view(*status_).substr(code.size()));
  }
  return conclude(std::move(header));
}

/// Judges the meta.
HeaderStep ScriptHeaderParser::conclude(ScriptHeader header) const {
  const int group = static_cast<int>(header.status) / 10;
  if (from_ == HeaderFrom::kCapsule && group == 6) {
    return bad("answered " + std::to_string(static_cast<int>(header.status)) + ' ' +
               quote(header.meta) + ": a visitor's certificate does not get there");
  }
  if (group >= 4) return header;
  if (header.meta.size() > kMaxMetaBytes) {
    return bad("header too long: " + quote(header.meta));
  }
  if (group == 3 && !isRedirectTarget(header.meta)) {
    return bad("bad redirect " + quote(header.meta));
  }
  if (!isPrintable(header.meta)) return bad("the header is not text: " + quote(header.meta));
  if (group == 2) settleMediaType(header);
  return header;
}

}  // namespace egalaxyd
