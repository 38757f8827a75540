#include "worker/dynamic/script_variables.h"

#include <algorithm>
#include <string_view>

#include "common/base/path.h"
#include "common/base/version.h"
#include "common/shared/script_names.h"
#include "common/tls/certificate_names.h"
#include "common/wire/uri.h"
#include "worker/dynamic/sent_url.h"

namespace egalaxyd {
namespace {

/// The most of a name out of a certificate.
constexpr std::size_t kMostNameBytes = 1024;

bool isControl(char c) { return (static_cast<unsigned char>(c) < 0x20) || c == '\x7F'; }

/// Makes control characters '?', but those in `kept`.
std::string cleaned(std::string_view text, std::string_view kept) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const bool c1 = text.size() > 1 && text[0] == '\xC2' &&
                    static_cast<unsigned char>(text[1]) >= 0x80 &&
                    static_cast<unsigned char>(text[1]) < 0xA0;
    const bool control = c1 || (isControl(text[0]) && kept.find(text[0]) == std::string_view::npos);
    clean += control ? '?' : text[0];
    text.remove_prefix(c1 ? 2 : 1);
  }
  return clean;
}

/// What was percent-encoded.
std::string cleanedValue(std::string_view text) { return cleaned(text, "\n\t"); }

/// Of a certificate: cut on a character's border.
std::string cleanedName(std::string_view text) {
  std::string clean = cleaned(text, "");
  if (clean.size() <= kMostNameBytes) return clean;
  std::size_t end = kMostNameBytes;
  while (end > 0 && (static_cast<unsigned char>(clean[end]) & 0xC0) == 0x80) --end;
  clean.resize(end);
  return clean;
}

/// Whether all of it is UTF-8 without NUL and C1.
bool isText(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = printableLength(text);
    if (length == 0 && (text[0] == '\0' || !isControl(text[0]))) return false;
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return true;
}

std::string upperCase(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

int hexDigit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

/// base64url with padding of what lower-case hex digits stand for.
std::string base64OfHex(std::string_view hex) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  for (; !hex.empty(); hex.remove_prefix(std::min<std::size_t>(hex.size(), 6))) {
    const std::string_view group = hex.substr(0, 6);  // three bytes
    unsigned bits = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      bits = bits << 4 | static_cast<unsigned>(i < group.size() ? hexDigit(group[i]) : 0);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text += 6 * i < 4 * group.size() ? kDigits[bits >> (18 - 6 * i) & 63] : '=';
    }
  }
  return text;
}

std::string commonNameOf(const std::vector<NamePart>& parts) {
  const auto found = std::ranges::find(parts, "CN", &NamePart::name);
  return found == parts.end() ? "" : cleanedName(found->value);
}

/// "CN=Alice,O=Wonder land", with backslashes as RFC 2253 has them.
std::string commaForm(const std::vector<NamePart>& parts) {
  std::string text;
  for (const NamePart& part : parts) {
    if (!text.empty()) text += ',';
    text.append(part.name).append("=");
    for (const char c : part.value) {
      if (std::string_view(",+\"\\<>;").find(c) != std::string_view::npos) text += '\\';
      text += c;
    }
  }
  return cleanedName(text);
}

/// "/CN=Alice/O=Wonder land"
std::string slashForm(const std::vector<NamePart>& parts) {
  std::string text;
  for (const NamePart& part : parts) {
    text.append("/").append(part.name).append("=").append(part.value);
  }
  return cleanedName(text);
}

/// With Gemini's scheme where only the raw file is wanted.
std::string urlOf(const Request& request) {
  std::string url = sentUrl(request);
  if (request.upload && request.upload->edit) {
    url.replace(0, std::min(url.find(':'), url.size()), "gemini");
  }
  return url;
}

class Collector {
 public:
  Collector(const Request& request, const ScriptFacts& facts, ScriptStyle style)
      : request_(request),
        facts_(facts),
        style_(style),
        edits_(request.upload && request.upload->edit),
        scriptName_(facts.mount + (facts.script.empty() ? "" : "/" + facts.script)) {}

  ScriptVariables collect() {
    addServer();
    addUrl();
    addScript();
    addQuery();
    addClient();
    addTls();
    addBody();
    if (request_.identity) {
      addIdentity(*request_.identity);
    } else {
      addStranger();
    }
    return std::move(variables_);
  }

 private:
  /// `name` is one of kScriptVariables.
  void add(std::string_view name, std::string value) {
    if (const auto place = scriptVariable(name)) variables_.emplace_back(*place, std::move(value));
  }
  bool isTitanUpload() const {
    return request_.protocol == Protocol::kTitan && request_.upload && !edits_;
  }
  bool is(ScriptStyle style) const { return style_ == style; }

  void addServer();
  void addUrl();
  void addScript();
  void addQuery();
  void addClient();
  void addTls();
  void addBody();
  void addIdentity(const ClientIdentity& identity);
  void addCertificate(const X509* certificate);
  void addStranger();
  std::string hash(const std::string& hex) const;

  const Request& request_;
  const ScriptFacts& facts_;
  const ScriptStyle style_;
  const bool edits_;
  const std::string scriptName_;
  ScriptVariables variables_;
};

void Collector::addServer() {
  const std::string host = hostInUrl(request_.host);
  add("GATEWAY_INTERFACE", "CGI/1.1");
  add("SERVER_PROTOCOL", edits_ ? "GEMINI" : upperCase(std::string(nameOf(request_.protocol))));
  add("SERVER_SOFTWARE", std::string("egalaxyd/") + kVersion);
  add("SERVER_NAME", host);
  add("HOSTNAME", host);
  add("SERVER_PORT", std::to_string(request_.port));
  if (is(ScriptStyle::kGmcapsule)) return;
  const bool posts = request_.upload && !edits_;
  add("REQUEST_METHOD", is(ScriptStyle::kMollyBrown) ? "" : posts ? "POST" : "GET");
}

void Collector::addUrl() {
  const std::string url = urlOf(request_);
  add("GEMINI_URL", url);
  if (request_.protocol == Protocol::kTitan && !edits_) add("TITAN_URL", url);
  if (request_.protocol == Protocol::kSpartan) add("SPARTAN_URL", url);
  if (is(ScriptStyle::kMollyBrown)) return;
  if (is(ScriptStyle::kGmid)) {
    const std::string path = scriptName_ + facts_.pathInfo;
    return add("GEMINI_URL_PATH", cleanedValue(path.substr(path.starts_with('/') ? 1 : 0)));
  }
  const auto uri = parseUri(url);
  const auto* parts = std::get_if<Uri>(&uri);
  add("GEMINI_URL_PATH", parts == nullptr || parts->path.empty() ? "/" : parts->path);
}

void Collector::addScript() {
  const std::string pathInfo = cleanedValue(facts_.pathInfo);
  add("SCRIPT_NAME", cleanedValue(scriptName_));
  if (!facts_.scriptFile.empty()) {
    add("SCRIPT_FILENAME", facts_.scriptFile);
    add("GEMINI_SCRIPT_FILENAME", facts_.scriptFile);
  }
  if (!facts_.documentRoot.empty()) {
    add("DOCUMENT_ROOT", facts_.documentRoot);
    add("GEMINI_DOCUMENT_ROOT", facts_.documentRoot);
  }
  if (is(ScriptStyle::kMollyBrown)) {
    add("SCRIPT_PATH", facts_.scriptFile.empty() ? facts_.mount + '/' : facts_.scriptFile);
    return add("PATH_INFO", pathInfo.substr(pathInfo.starts_with('/') ? 1 : 0));
  }
  add("PATH_INFO", pathInfo);
  if (is(ScriptStyle::kGmid) && !pathInfo.empty() && !facts_.documentRoot.empty()) {
    add("PATH_TRANSLATED", facts_.documentRoot + pathInfo);
  }
}

void Collector::addQuery() {
  const auto& query = request_.query;
  if (query || !is(ScriptStyle::kGmcapsule)) add("QUERY_STRING", query.value_or(""));
  if (!query || query->find('=') != std::string::npos) return;
  const auto words = percentDecode(*query);
  if (words && isText(*words)) add("GEMINI_SEARCH_STRING", cleanedValue(*words));
}

void Collector::addClient() {
  const std::string address = request_.client.text();
  const std::string port = std::to_string(request_.clientPort);
  add("REMOTE_ADDR", is(ScriptStyle::kGmcapsule) ? hostInUrl(address) + ':' + port : address);
  add("REMOTE_HOST", address);
  add("REMOTE_PORT", port);
}

void Collector::addTls() {
  if (request_.tls.version.empty()) return;
  add("TLS_VERSION", std::string(request_.tls.version));
  add("TLS_CIPHER", std::string(request_.tls.cipher));
  add("TLS_CIPHER_STRENGTH", std::to_string(request_.tls.bits));
}

void Collector::addBody() {
  add("CONTENT_LENGTH", std::to_string(facts_.bodySize));
  if (edits_) add("TITAN_EDIT", "1");
  if (!isTitanUpload()) return;
  const UploadLine& upload = *request_.upload;
  if (is(ScriptStyle::kGmcapsule)) {
    add("CONTENT_TYPE", cleanedValue(upload.rawMime));
    return add("TITAN_TOKEN", cleanedValue(upload.rawToken));
  }
  add("CONTENT_TYPE", upload.mime.empty() ? "text/gemini" : cleanedValue(upload.mime));
  add("TITAN_TOKEN", cleanedValue(upload.token));
}

void Collector::addStranger() {
  if (is(ScriptStyle::kGmid) || is(ScriptStyle::kGmcapsule)) add("AUTH_TYPE", "");
  if (is(ScriptStyle::kGmcapsule)) add("REMOTE_USER", "");
}

std::string Collector::hash(const std::string& hex) const {
  if (is(ScriptStyle::kJetforce)) return "SHA256:" + upperCase(hex);
  return is(ScriptStyle::kGmid) ? "SHA256:" + hex : hex;
}

void Collector::addIdentity(const ClientIdentity& identity) {
  const bool capitals = is(ScriptStyle::kJetforce) || is(ScriptStyle::kGmid);
  add("AUTH_TYPE", capitals ? "CERTIFICATE" : "Certificate");
  add("REMOTE_IDENT", identity.fingerprint + ';' + identity.keyFingerprint);
  add("TLS_CLIENT_HASH", hash(identity.fingerprint));
  add("TLS_CLIENT_HASH_B64", base64OfHex(identity.fingerprint));
  add("TLS_CLIENT_KEY_HASH", hash(identity.keyFingerprint));
  add("TLS_CLIENT_AUTHORISED", request_.certificateSigned ? "1" : "0");
  if (!facts_.user.empty()) add("EGALAXYD_USER", facts_.user);
  if (identity.certificate) addCertificate(identity.certificate.get());
}

void Collector::addCertificate(const X509* certificate) {
  const auto subject = certificateSubjectParts(certificate);
  const auto issuer = certificateIssuerParts(certificate);
  const bool slashes = is(ScriptStyle::kGmid) || is(ScriptStyle::kGmcapsule);
  const std::string name = slashes ? slashForm(subject) : commaForm(subject);
  if (!is(ScriptStyle::kMollyBrown)) {
    add("REMOTE_USER", is(ScriptStyle::kGmid) ? name : commonNameOf(subject));
  }
  add("TLS_CLIENT_SUBJECT", name);
  add("TLS_CLIENT_ISSUER", slashes ? slashForm(issuer) : commaForm(issuer));
  add("TLS_CLIENT_SUBJECT_CN", commonNameOf(subject));
  add("TLS_CLIENT_ISSUER_CN", commonNameOf(issuer));
  add("TLS_CLIENT_NOT_BEFORE", certificateNotBeforeText(certificate));
  add("TLS_CLIENT_NOT_AFTER", certificateNotAfterText(certificate));
  add("TLS_CLIENT_SERIAL_NUMBER", certificateSerial(certificate));
}

}  // namespace

std::optional<ScriptVariables> scriptVariables(const Request& request, const ScriptFacts& facts,
                                               ScriptStyle style) {
  ScriptVariables variables = Collector(request, facts, style).collect();
  std::size_t bytes = 0;
  for (const auto& [place, value] : variables) {
    bytes += kScriptVariables[place].size() + value.size() + 2;
  }
  if (bytes > kMostVariableBytes) return std::nullopt;
  return variables;
}

std::vector<NamedValue> namedValues(const ScriptVariables& variables,
                                    const std::map<std::string, std::string>& more) {
  std::vector<NamedValue> values;
  values.reserve(variables.size() + more.size());
  for (const auto& [place, value] : variables) values.emplace_back(kScriptVariables[place], value);
  for (const auto& [name, value] : more) values.emplace_back(name, value);
  return values;
}

}  // namespace egalaxyd
