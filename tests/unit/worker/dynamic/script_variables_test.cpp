#include "worker/dynamic/script_variables.h"

#include <gtest/gtest.h>
#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cctype>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/path.h"
#include "common/base/version.h"
#include "common/shared/script_names.h"
#include "common/tls/certificate_names.h"
#include "tests/support/signed_certificate.h"
#include "worker/base/listener_kind.h"
#include "worker/dynamic/script_path.h"
#include "worker/protocol/gemini_parser.h"
#include "worker/protocol/spartan_parser.h"

namespace egalaxyd {
namespace {

using Environment = std::map<std::string, std::string>;
using Part = std::pair<const char*, std::string>;

constexpr const char* kUnset = "(unset)";
constexpr ScriptStyle kStyles[] = {ScriptStyle::kJetforce, ScriptStyle::kGmid,
                                   ScriptStyle::kMollyBrown, ScriptStyle::kGmcapsule};

std::string valueOf(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? kUnset : found->second;
}

/// A request for the script `env` of "/cgi-bin", as it comes to a worker.
struct Asked {
  Request request;
  ScriptFacts facts;

  Environment in(ScriptStyle style = ScriptStyle::kJetforce) const {
    const auto variables = scriptVariables(request, facts, style);
    Environment environment;
    if (!variables) return {{"TOO_LONG", ""}};
    for (const auto& [place, value] : *variables) {
      EXPECT_EQ(value.find('\0'), std::string::npos);
      EXPECT_TRUE(environment.emplace(kScriptVariables.at(place), value).second)
          << kScriptVariables.at(place) << " twice";
    }
    return environment;
  }
  std::string operator()(const std::string& name,
                         ScriptStyle style = ScriptStyle::kJetforce) const {
    return valueOf(in(style), name);
  }
};

Request requestOf(const std::string& line, ListenerKind listener) {
  std::size_t consumed = 0;
  const ParseStep step = listener == ListenerKind::kSpartan ? SpartanParser().feed(line, consumed)
                                                            : GeminiParser().feed(line, consumed);
  auto parsed = std::get<RequestLine>(step);
  Request request;
  request.protocol = listener == ListenerKind::kSpartan ? Protocol::kSpartan
                     : parsed.uri.scheme == "titan"     ? Protocol::kTitan
                                                        : Protocol::kGemini;
  request.url = parsed.url;
  request.host = parsed.uri.host;
  request.port = parsed.uri.port.value_or(listener == ListenerKind::kSpartan ? 300 : 1965);
  request.path = std::get<std::string>(normalisePathKeepingSlashes(parsed.uri.path));
  request.query = parsed.uri.query;
  request.client = *IpAddress::parse("192.0.2.7");
  request.clientPort = 56324;
  request.upload = std::move(parsed.upload);
  if (listener != ListenerKind::kSpartan) request.tls = {"TLSv1.3", "TLS_AES_128_GCM_SHA256", 128};
  return request;
}

Asked askedLine(const std::string& line, ListenerKind listener) {
  Asked asked;
  asked.request = requestOf(line, listener);
  asked.request.mountLength = std::string_view("/cgi-bin").size();
  const ScriptPlace place = scriptPlace(asked.request.sitePath(), 1).value();
  asked.facts.mount = "/cgi-bin";
  asked.facts.script = place.script;
  asked.facts.pathInfo = place.pathInfo;
  asked.facts.scriptFile = "/srv/cgi-bin/" + place.script;
  asked.facts.documentRoot = "/srv/cgi-bin";
  if (asked.request.upload) asked.facts.bodySize = asked.request.upload->size;
  return asked;
}

Asked asked(const std::string& url) { return askedLine(url + "\r\n", ListenerKind::kGemini); }

Asked askedOverSpartan(const std::string& line) {
  return askedLine(line + "\r\n", ListenerKind::kSpartan);
}

/// Of these parts, in their order; self-signed.
TestCertificate certificateOf(const std::vector<Part>& parts) {
  TestCertificate made = makeTestCertificate({.commonName = ""});
  const std::unique_ptr<X509_NAME, decltype(&X509_NAME_free)> name(X509_NAME_new(),
                                                                   &X509_NAME_free);
  for (const auto& [field, value] : parts) {
    // By hand: OpenSSL's functions for names refuse long ones.
    const std::unique_ptr<X509_NAME_ENTRY, decltype(&X509_NAME_ENTRY_free)> entry(
        X509_NAME_ENTRY_new(), &X509_NAME_ENTRY_free);
    const std::unique_ptr<ASN1_OBJECT, decltype(&ASN1_OBJECT_free)> kind(OBJ_txt2obj(field, 0),
                                                                         &ASN1_OBJECT_free);
    X509_NAME_ENTRY_set_object(entry.get(), kind.get());
    ASN1_STRING* data = X509_NAME_ENTRY_get_data(entry.get());
    ASN1_STRING_set(data, value.data(), static_cast<int>(value.size()));
    data->type = V_ASN1_UTF8STRING;
    X509_NAME_add_entry(name.get(), entry.get(), -1, 0);
  }
  X509_set_subject_name(made.certificate.get(), name.get());
  X509_set_issuer_name(made.certificate.get(), name.get());
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.certificate.get()), 18446744073709551615U);
  X509_sign(made.certificate.get(), made.key.get(), EVP_sha256());
  return made;
}

Asked askedBy(const std::vector<Part>& parts) {
  Asked made = asked("gemini://h.test/cgi-bin/env");
  made.request.identity = identityOf(certificateOf(parts));
  made.facts.user = "42";
  return made;
}

TEST(ScriptVariables, TellOfAPlainRequest) {
  const Environment expected = {
      {"GATEWAY_INTERFACE", "CGI/1.1"},
      {"SERVER_PROTOCOL", "GEMINI"},
      {"SERVER_SOFTWARE", std::string("egalaxyd/") + kVersion},
      {"SERVER_NAME", "h.test"},
      {"HOSTNAME", "h.test"},
      {"SERVER_PORT", "1965"},
      {"REQUEST_METHOD", "GET"},
      {"GEMINI_URL", "gemini://H.test/cgi-bin/env"},
      {"GEMINI_URL_PATH", "/cgi-bin/env"},
      {"SCRIPT_NAME", "/cgi-bin/env"},
      {"SCRIPT_FILENAME", "/srv/cgi-bin/env"},
      {"GEMINI_SCRIPT_FILENAME", "/srv/cgi-bin/env"},
      {"DOCUMENT_ROOT", "/srv/cgi-bin"},
      {"GEMINI_DOCUMENT_ROOT", "/srv/cgi-bin"},
      {"PATH_INFO", ""},
      {"QUERY_STRING", ""},
      {"REMOTE_ADDR", "192.0.2.7"},
      {"REMOTE_HOST", "192.0.2.7"},
      {"REMOTE_PORT", "56324"},
      {"TLS_VERSION", "TLSv1.3"},
      {"TLS_CIPHER", "TLS_AES_128_GCM_SHA256"},
      {"TLS_CIPHER_STRENGTH", "128"},
      {"CONTENT_LENGTH", "0"},
  };
  EXPECT_EQ(asked("gemini://H.test/cgi-bin/env").in(), expected);
}

TEST(ScriptVariables, HaveThePathOnceDecoded) {
  const struct {
    const char* path;
    const char* info;
    const char* urlPath;
  } rows[] = {
      {"/cgi-bin/env/", "/", "/cgi-bin/env/"},
      {"/cgi-bin/env/extra/info", "/extra/info", "/cgi-bin/env/extra/info"},
      {"/cgi-bin/env/extra/info/", "/extra/info/", "/cgi-bin/env/extra/info/"},
      {"//cgi-bin//env//extra//info//", "/extra/info/", "//cgi-bin//env//extra//info//"},
      {"/cgi-bin/env/https%3A%2F%2Fe.org/x", "/https://e.org/x",
       "/cgi-bin/env/https%3A%2F%2Fe.org/x"},
      {"/cgi-bin/env/%2541", "/%41", "/cgi-bin/env/%2541"},
      {"/cgi-bin/env/caf%C3%A9", "/caf\xC3\xA9", "/cgi-bin/env/caf%C3%A9"},
  };
  for (const auto& row : rows) {
    const Environment environment = asked(std::string("gemini://h.test") + row.path).in();
    EXPECT_EQ(valueOf(environment, "PATH_INFO"), row.info) << row.path;
    EXPECT_EQ(valueOf(environment, "GEMINI_URL_PATH"), row.urlPath) << row.path;
    EXPECT_EQ(valueOf(environment, "SCRIPT_NAME"), "/cgi-bin/env") << row.path;
    EXPECT_EQ(valueOf(environment, "GEMINI_URL"), std::string("gemini://h.test") + row.path);
  }
}

TEST(ScriptVariables, HaveTheQueryAsItWasSent) {
  const struct {
    const char* query;
    const char* expected;
    const char* search;
  } rows[] = {
      {"?hello%20world", "hello%20world", "hello world"},
      {"?%2541", "%2541", "%41"},
      {"?", "", ""},
      {"?a+b", "a+b", "a+b"},
      {"?-s", "-s", "-s"},
      {"?a=b", "a=b", kUnset},
      {"?a%3Db", "a%3Db", "a=b"},
      {"?a%0Ab%09c%0D%1B", "a%0Ab%09c%0D%1B", "a\nb\tc??"},
      {"?%FF", "%FF", kUnset},
      {"?a%00", "a%00", kUnset},
      {"", "", kUnset},
  };
  for (const auto& row : rows) {
    const Asked request = asked(std::string("gemini://h.test/cgi-bin/env") + row.query);
    EXPECT_EQ(request("QUERY_STRING"), row.expected) << row.query;
    EXPECT_EQ(request("GEMINI_SEARCH_STRING"), row.search) << row.query;
    EXPECT_EQ(request("GEMINI_URL"), std::string("gemini://h.test/cgi-bin/env") + row.query);
  }
  EXPECT_EQ(asked("gemini://h.test/cgi-bin/env?")("QUERY_STRING", ScriptStyle::kGmcapsule), "");
  EXPECT_EQ(asked("gemini://h.test/cgi-bin/env")("QUERY_STRING", ScriptStyle::kGmcapsule), kUnset);
}

TEST(ScriptVariables, HaveHostAndPortOfTheUrl) {
  EXPECT_EQ(asked("gemini://alias.test:1966/cgi-bin/env")("SERVER_NAME"), "alias.test");
  EXPECT_EQ(asked("gemini://alias.test:1966/cgi-bin/env")("SERVER_PORT"), "1966");
  EXPECT_EQ(asked("gemini://[::1]/cgi-bin/env")("SERVER_NAME"), "[::1]");
}

TEST(ScriptVariables, HaveTheClientsAddressWithoutBrackets) {
  Asked request = asked("gemini://h.test/cgi-bin/env");
  request.request.client = *IpAddress::parse("2001:db8::1");
  for (const ScriptStyle style : kStyles) {
    EXPECT_EQ(request("REMOTE_ADDR", style),
              style == ScriptStyle::kGmcapsule ? "[2001:db8::1]:56324" : "2001:db8::1");
    EXPECT_EQ(request("REMOTE_HOST", style), "2001:db8::1");
    EXPECT_EQ(request("REMOTE_PORT", style), "56324");
  }
  request.request.client = *IpAddress::parse("192.0.2.7");
  EXPECT_EQ(request("REMOTE_ADDR", ScriptStyle::kGmcapsule), "192.0.2.7:56324");
}

TEST(ScriptVariables, OfAnApplicationAtTheRootInGmidsStyle) {
  Asked request;
  request.request = requestOf("gemini://h.test:1966//////////\r\n", ListenerKind::kGemini);
  request.facts.pathInfo = request.request.sitePath();
  request.facts.documentRoot = "/srv";
  const Environment root = request.in(ScriptStyle::kGmid);
  for (const auto& [name, value] : Environment{{"AUTH_TYPE", ""},
                                               {"GATEWAY_INTERFACE", "CGI/1.1"},
                                               {"GEMINI_URL_PATH", ""},
                                               {"PATH_INFO", "/"},
                                               {"PATH_TRANSLATED", "/srv/"},
                                               {"QUERY_STRING", ""},
                                               {"REQUEST_METHOD", "GET"},
                                               {"SCRIPT_NAME", ""},
                                               {"SCRIPT_FILENAME", kUnset},
                                               {"SERVER_PORT", "1966"},
                                               {"SERVER_PROTOCOL", "GEMINI"}}) {
    EXPECT_EQ(valueOf(root, name), value) << name;
  }
  request.request = requestOf("gemini://h.test/foo\r\n", ListenerKind::kGemini);
  request.facts.pathInfo = request.request.sitePath();
  EXPECT_EQ(request("PATH_INFO", ScriptStyle::kGmid), "/foo");
  EXPECT_EQ(request("GEMINI_URL_PATH", ScriptStyle::kGmid), "foo");
  EXPECT_EQ(request("PATH_TRANSLATED", ScriptStyle::kGmid), "/srv/foo");
}

TEST(ScriptVariables, NamePathsAsTheStyleDoes) {
  const Asked request = asked("gemini://h.test/cgi-bin/env/a%20b/");
  const struct {
    ScriptStyle style;
    const char* info;
    const char* translated;
    const char* scriptPath;
    const char* urlPath;
    const char* method;
  } rows[] = {
      {ScriptStyle::kJetforce, "/a b/", kUnset, kUnset, "/cgi-bin/env/a%20b/", "GET"},
      {ScriptStyle::kGmid, "/a b/", "/srv/cgi-bin/a b/", kUnset, "cgi-bin/env/a b/", "GET"},
      {ScriptStyle::kMollyBrown, "a b/", kUnset, "/srv/cgi-bin/env", kUnset, ""},
      {ScriptStyle::kGmcapsule, "/a b/", kUnset, kUnset, "/cgi-bin/env/a%20b/", kUnset},
  };
  for (const auto& row : rows) {
    const Environment environment = request.in(row.style);
    EXPECT_EQ(valueOf(environment, "PATH_INFO"), row.info);
    EXPECT_EQ(valueOf(environment, "PATH_TRANSLATED"), row.translated);
    EXPECT_EQ(valueOf(environment, "SCRIPT_PATH"), row.scriptPath);
    EXPECT_EQ(valueOf(environment, "GEMINI_URL_PATH"), row.urlPath);
    EXPECT_EQ(valueOf(environment, "REQUEST_METHOD"), row.method);
  }
  EXPECT_EQ(asked("gemini://h.test/cgi-bin/env")("PATH_TRANSLATED", ScriptStyle::kGmid), kUnset);
  Asked application = asked("gemini://h.test/cgi-bin/env");
  application.facts.scriptFile.clear();
  EXPECT_EQ(application("SCRIPT_PATH", ScriptStyle::kMollyBrown), "/cgi-bin/");
}

TEST(ScriptVariables, SpellACertificateInFourStyles) {
  const Asked request = askedBy({{"CN", "Alice"}, {"O", "Wonder land"}});
  const ClientIdentity& identity = *request.request.identity;
  std::string upper = identity.fingerprint;
  std::string upperKey = identity.keyFingerprint;
  for (std::string* hex : {&upper, &upperKey}) {
    for (char& c : *hex) c = static_cast<char>(std::toupper(c));
  }
  const std::string lower = identity.fingerprint;
  const std::string lowerKey = identity.keyFingerprint;
  const struct {
    ScriptStyle style;
    std::string hash;
    std::string keyHash;
    const char* type;
    const char* user;
    const char* subject;
  } rows[] = {
      {ScriptStyle::kJetforce, "SHA256:" + upper, "SHA256:" + upperKey, "CERTIFICATE", "Alice",
       "CN=Alice,O=Wonder land"},
      {ScriptStyle::kGmid, "SHA256:" + lower, "SHA256:" + lowerKey, "CERTIFICATE",
       "/CN=Alice/O=Wonder land", "/CN=Alice/O=Wonder land"},
      {ScriptStyle::kMollyBrown, lower, lowerKey, "Certificate", kUnset, "CN=Alice,O=Wonder land"},
      {ScriptStyle::kGmcapsule, lower, lowerKey, "Certificate", "Alice", "/CN=Alice/O=Wonder land"},
  };
  for (const auto& row : rows) {
    const Environment environment = request.in(row.style);
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_HASH"), row.hash);
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_KEY_HASH"), row.keyHash);
    EXPECT_EQ(valueOf(environment, "AUTH_TYPE"), row.type);
    EXPECT_EQ(valueOf(environment, "REMOTE_USER"), row.user);
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_SUBJECT"), row.subject);
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_ISSUER"), row.subject);
    EXPECT_EQ(valueOf(environment, "REMOTE_IDENT"), lower + ";" + lowerKey);
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_SUBJECT_CN"), "Alice");
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_ISSUER_CN"), "Alice");
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_SERIAL_NUMBER"), "18446744073709551615");
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_AUTHORISED"), "0");
    EXPECT_EQ(valueOf(environment, "EGALAXYD_USER"), "42");
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_NOT_AFTER"),
              certificateNotAfterText(identity.certificate.get()));
    EXPECT_EQ(valueOf(environment, "TLS_CLIENT_NOT_BEFORE").size(), 20u);
    EXPECT_EQ(valueOf(environment, "TLS_CIPHER_STRENGTH"), "128");
  }
}

TEST(ScriptVariables, EncodeTheHashForUrls) {
  Asked request = asked("gemini://h.test/cgi-bin/env");
  const auto base64 = [&](std::string fingerprint) {
    request.request.identity = std::make_shared<const ClientIdentity>(
        ClientIdentity{.fingerprint = std::move(fingerprint)});
    return request("TLS_CLIENT_HASH_B64");
  };
  EXPECT_EQ(base64("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=");
  EXPECT_EQ(base64("ffee"), "_-4=");
  EXPECT_EQ(base64("00"), "AA==");
}

TEST(ScriptVariables, OfAStrangerSayNothingOfACertificate) {
  const Asked request = asked("gemini://h.test/cgi-bin/env");
  for (const ScriptStyle style : kStyles) {
    const Environment environment = request.in(style);
    const bool empty = style == ScriptStyle::kGmid || style == ScriptStyle::kGmcapsule;
    EXPECT_EQ(valueOf(environment, "AUTH_TYPE"), empty ? "" : kUnset);
    EXPECT_EQ(valueOf(environment, "REMOTE_USER"), style == ScriptStyle::kGmcapsule ? "" : kUnset);
    EXPECT_EQ(valueOf(environment, "REMOTE_IDENT"), kUnset);
    EXPECT_EQ(valueOf(environment, "EGALAXYD_USER"), kUnset);
    EXPECT_EQ(valueOf(environment, "TLS_VERSION"), "TLSv1.3");
    EXPECT_EQ(valueOf(environment, "TLS_CIPHER"), "TLS_AES_128_GCM_SHA256");
    for (const auto& [name, value] : environment) {
      EXPECT_FALSE(name.starts_with("TLS_CLIENT_")) << name;
    }
  }
}

TEST(ScriptVariables, KeepWhatSurvivesARenewalWithTheSameKey) {
  const TestCertificate old = makeTestCertificate();
  Asked request = asked("gemini://h.test/cgi-bin/env");
  request.request.identity = identityOf(old);
  const Environment before = request.in();
  TestCertificate renewed = makeTestCertificate({.toDays = 999});
  EVP_PKEY_up_ref(old.key.get());
  renewed = withKey(std::move(renewed), KeyPtr(old.key.get()));
  request.request.identity = identityOf(renewed);
  const Environment after = request.in();
  EXPECT_EQ(valueOf(before, "TLS_CLIENT_KEY_HASH"), valueOf(after, "TLS_CLIENT_KEY_HASH"));
  EXPECT_NE(valueOf(before, "TLS_CLIENT_HASH"), valueOf(after, "TLS_CLIENT_HASH"));
}

TEST(ScriptVariables, OfACertificateAreCleanAndShort) {
  EXPECT_EQ(askedBy({{"O", "Nobody"}})("REMOTE_USER"), "");
  EXPECT_EQ(askedBy({{"O", "Nobody"}})("TLS_CLIENT_SUBJECT_CN"), "");
  EXPECT_EQ(askedBy({{"CN",
                      "a\nb\tc\x1B\x7F\xC2\x85"
                      "d"}})("REMOTE_USER"),
            "a?b?c???d");
  EXPECT_EQ(askedBy({{"CN", std::string("a\0b", 3)}})("REMOTE_USER"), "a?b");
  EXPECT_EQ(askedBy({{"CN", "a,b+c\\d"}})("TLS_CLIENT_SUBJECT"), "CN=a\\,b\\+c\\\\d");
  EXPECT_EQ(askedBy({{"CN", "Zo\xC3\xAB"}})("REMOTE_USER"), "Zo\xC3\xAB");
  EXPECT_EQ(askedBy({{"1.2.3.4", "x"}, {"CN", "y"}})("TLS_CLIENT_SUBJECT"), "1.2.3.4=x,CN=y");
  const Asked longest = askedBy({{"CN", std::string(20 * 1024, 'x')}});
  EXPECT_EQ(longest("REMOTE_USER"), std::string(1024, 'x'));
  for (const ScriptStyle style : kStyles) {
    EXPECT_EQ(longest("TLS_CLIENT_SUBJECT", style).size(), 1024u);
  }
  std::string umlauts = "x";
  for (int i = 0; i < 600; ++i) umlauts += "\xC3\xA4";
  EXPECT_EQ(askedBy({{"CN", umlauts}})("REMOTE_USER"), umlauts.substr(0, 1023));
}

TEST(ScriptVariables, TellWhetherAnAuthorityHasSigned) {
  Asked request = askedBy({{"CN", "Alice"}});
  request.request.certificateSigned = true;
  EXPECT_EQ(request("TLS_CLIENT_AUTHORISED"), "1");
}

TEST(ScriptVariables, TellTheIssuer) {
  const TestCertificate authority = makeAuthority({.commonName = "Queen"});
  Asked request = asked("gemini://h.test/cgi-bin/env");
  request.request.identity = identityOf(signedBy(authority));
  EXPECT_EQ(request("TLS_CLIENT_ISSUER"), "CN=Queen");
  EXPECT_EQ(request("TLS_CLIENT_ISSUER_CN"), "Queen");
  EXPECT_EQ(request("TLS_CLIENT_SUBJECT_CN"), "Alice");
}

TEST(ScriptVariables, OfAnUpload) {
  const Asked request =
      asked("titan://h.test/cgi-bin/env;size=5;mime=text%2Fplain;token=a%20b%00c?q");
  const Environment environment = request.in();
  for (const auto& [name, value] : Environment{{"SERVER_PROTOCOL", "TITAN"},
                                               {"REQUEST_METHOD", "POST"},
                                               {"GEMINI_URL", "titan://h.test/cgi-bin/env?q"},
                                               {"TITAN_URL", "titan://h.test/cgi-bin/env?q"},
                                               {"SPARTAN_URL", kUnset},
                                               {"GEMINI_URL_PATH", "/cgi-bin/env"},
                                               {"SERVER_PORT", "1965"},
                                               {"CONTENT_LENGTH", "5"},
                                               {"CONTENT_TYPE", "text/plain"},
                                               {"TITAN_TOKEN", "a b?c"},
                                               {"TITAN_EDIT", kUnset}}) {
    EXPECT_EQ(valueOf(environment, name), value) << name;
  }
  EXPECT_EQ(request("TITAN_TOKEN", ScriptStyle::kGmcapsule), "a%20b%00c");
  EXPECT_EQ(request("CONTENT_TYPE", ScriptStyle::kGmcapsule), "text%2Fplain");
  EXPECT_EQ(request("TITAN_TOKEN", ScriptStyle::kGmid), "a b?c");
}

TEST(ScriptVariables, OfAnUploadWithoutTypeAndToken) {
  const Asked request = asked("titan://h.test/cgi-bin/env/a;x=5/b;size=0");
  EXPECT_EQ(request("REQUEST_METHOD"), "POST");
  EXPECT_EQ(request("CONTENT_LENGTH"), "0");
  EXPECT_EQ(request("CONTENT_TYPE"), "text/gemini");
  EXPECT_EQ(request("TITAN_TOKEN"), "");
  EXPECT_EQ(request("CONTENT_TYPE", ScriptStyle::kGmcapsule), "");
  EXPECT_EQ(request("TITAN_TOKEN", ScriptStyle::kGmcapsule), "");
}

TEST(ScriptVariables, OfAnEditAreGeminis) {
  const Environment environment = asked("TITAN://h.test:1966/cgi-bin/env;edit?q").in();
  for (const auto& [name, value] : Environment{{"SERVER_PROTOCOL", "GEMINI"},
                                               {"REQUEST_METHOD", "GET"},
                                               {"GEMINI_URL", "gemini://h.test:1966/cgi-bin/env?q"},
                                               {"TITAN_URL", kUnset},
                                               {"TITAN_EDIT", "1"},
                                               {"TITAN_TOKEN", kUnset},
                                               {"CONTENT_TYPE", kUnset},
                                               {"CONTENT_LENGTH", "0"}}) {
    EXPECT_EQ(valueOf(environment, name), value) << name;
  }
}

TEST(ScriptVariables, OverSpartanSayNothingOfTls) {
  for (const ScriptStyle style : kStyles) {
    const Environment environment = askedOverSpartan("h.test /cgi-bin/env/a%20b 5").in(style);
    EXPECT_EQ(valueOf(environment, "SERVER_PROTOCOL"), "SPARTAN");
    EXPECT_EQ(valueOf(environment, "SPARTAN_URL"), "spartan://h.test/cgi-bin/env/a%20b");
    EXPECT_EQ(valueOf(environment, "GEMINI_URL"), "spartan://h.test/cgi-bin/env/a%20b");
    EXPECT_EQ(valueOf(environment, "TITAN_URL"), kUnset);
    EXPECT_EQ(valueOf(environment, "SERVER_PORT"), "300");
    EXPECT_EQ(valueOf(environment, "CONTENT_LENGTH"), "5");
    EXPECT_EQ(valueOf(environment, "CONTENT_TYPE"), kUnset);
    EXPECT_EQ(valueOf(environment, "TITAN_TOKEN"), kUnset);
    for (const auto& [name, value] : environment) EXPECT_FALSE(name.starts_with("TLS_")) << name;
  }
  EXPECT_EQ(askedOverSpartan("h.test /cgi-bin/env 5")("REQUEST_METHOD"), "POST");
  EXPECT_EQ(askedOverSpartan("h.test /cgi-bin/env 0")("REQUEST_METHOD"), "GET");
}

TEST(ScriptVariables, AreBounded) {
  Asked request = asked("gemini://h.test/cgi-bin/env");
  const Environment small = request.in();
  std::size_t bytes = 0;
  for (const auto& [name, value] : small) bytes += name.size() + value.size() + 2;
  request.request.query = std::string(kMostVariableBytes - bytes, '=');
  EXPECT_EQ(request("TOO_LONG"), kUnset);
  *request.request.query += '=';
  EXPECT_EQ(request("TOO_LONG"), "");
}

TEST(ScriptVariables, HaveNamesForApplications) {
  const ScriptVariables variables = {{*scriptVariable("PATH_INFO"), "/x"}};
  const std::map<std::string, std::string> more = {{"TZ", "UTC"}};
  EXPECT_EQ(namedValues(variables, more),
            (std::vector<NamedValue>{{"PATH_INFO", "/x"}, {"TZ", "UTC"}}));
}

}  // namespace
}  // namespace egalaxyd
