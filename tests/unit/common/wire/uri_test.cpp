#include "common/wire/uri.h"

#include <Poco/Exception.h>
#include <Poco/URI.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>

#include "common/base/path.h"

namespace egalaxyd {

void PrintTo(UriError error, std::ostream* out) { *out << describe(error); }

namespace {

Uri accepted(std::string_view text) {
  auto parsed = parseUri(text);
  if (const auto* error = std::get_if<UriError>(&parsed)) {
    ADD_FAILURE() << text << ": " << describe(*error);
    return {};
  }
  return std::get<Uri>(std::move(parsed));
}

void expectRefused(std::string_view text, UriError error) {
  const auto parsed = parseUri(text);
  ASSERT_TRUE(std::holds_alternative<UriError>(parsed)) << text;
  EXPECT_EQ(std::get<UriError>(parsed), error) << text;
}

TEST(Uri, SplitsAnAbsoluteUriIntoItsParts) {
  const Uri uri = accepted("gemini://example.org:1966/a/b%20c;d?q=1&r?s");
  EXPECT_EQ(uri.scheme, "gemini");
  EXPECT_EQ(uri.host, "example.org");
  EXPECT_EQ(uri.port, 1966);
  EXPECT_EQ(uri.path, "/a/b%20c;d");
  EXPECT_EQ(uri.query, "q=1&r?s");
}

TEST(Uri, LowersTheCaseOfSchemeAndHostAlone) {
  const Uri uri = accepted("GEMINI://ExAmple.ORG/Path?Query");
  EXPECT_EQ(uri.scheme, "gemini");
  EXPECT_EQ(uri.host, "example.org");
  EXPECT_EQ(uri.path, "/Path");
  EXPECT_EQ(uri.query, "Query");
}

TEST(Uri, TellsAnEmptyQueryFromNone) {
  EXPECT_EQ(accepted("gemini://h/").query, std::nullopt);
  EXPECT_EQ(accepted("gemini://h/?").query, "");
}

TEST(Uri, EndsTheAuthorityAtAQuestionMark) {
  const Uri uri = accepted("gemini://h?q");
  EXPECT_EQ(uri.host, "h");
  EXPECT_EQ(uri.path, "");
  EXPECT_EQ(uri.query, "q");
  EXPECT_EQ(accepted("gemini://h:1965?x").port, 1965);
}

TEST(Uri, ReadsPortsAsNumbers) {
  EXPECT_EQ(accepted("gemini://h").port, std::nullopt);
  EXPECT_EQ(accepted("gemini://h:").port, std::nullopt);
  EXPECT_EQ(accepted("gemini://h:/").port, std::nullopt);
  EXPECT_EQ(accepted("gemini://h:01965/").port, 1965);
  EXPECT_EQ(accepted("gemini://h:0000000000001965/").port, 1965);
  EXPECT_EQ(accepted("gemini://h:0/").port, 0);
  EXPECT_EQ(accepted("gemini://h:65535/").port, 65535);
  for (const auto* text :
       {"gemini://h:abc/", "gemini://h:65536/", "gemini://h:-1/", "gemini://h:+1/",
        "gemini://h:1 /", "gemini://h:1a/", "gemini://::1/", "gemini://h:1:2/",
        "gemini://h:99999999999999999999/", "gemini://[::1]:x/"}) {
    expectRefused(text, UriError::kPort);
  }
}

TEST(Uri, KnowsAddressLiterals) {
  EXPECT_EQ(accepted("gemini://127.0.0.1:1965/").host, "127.0.0.1");
  const Uri uri = accepted("gemini://[::1]:1965/");
  EXPECT_EQ(uri.host, "::1");
  EXPECT_EQ(uri.port, 1965);
  EXPECT_EQ(accepted("gemini://[2001:DB8:0:0::1]").host, "2001:db8::1");
  EXPECT_EQ(accepted("gemini://[::1]?q").query, "q");
}

TEST(Uri, RefusesMalformedHosts) {
  using namespace std::string_literals;
  for (const auto& text :
       {"gemini://%/"s, "gemini://ex%6/"s, "gemini://[::1/"s, "gemini://[zz]/"s, "gemini://[]/"s,
        "gemini://[::1]x/"s, "gemini://[::1%25eth0]/"s, "gemini://[v1.x]/"s,
        "gemini://[127.0.0.1]/"s, "gemini://[::1\0]/"s, "gemini://h]/"s, "gemini://caf\xC3/"s,
        "gemini://a b/"s, "gemini://a\\b/"s, "gemini://*/"s, "gemini://a\0b/"s, "gemini://a,b/"s,
        "http://a|b/"s}) {
    expectRefused(text, UriError::kHost);
  }
}

TEST(Uri, ReadsANameBeyondAsciiAsItsALabel) {
  using namespace std::string_literals;
  for (const auto* text : {"gemini://xn--bcher-kva.example/",
                           "gemini://b\xC3\xBC"
                           "cher.example/",
                           "gemini://b%C3%BCcher.example/", "gemini://b%c3%bccher.example./",
                           "gemini://B\xC3\x9C"
                           "CHER.Example:/",
                           "titan://bu\xCC\x88"
                           "cher.example/",
                           "gemini://b\xC3\xBC"
                           "cher\xE3\x80\x82"
                           "example/",
                           "spartan://b%C3%BCcher%2Eexample/"}) {
    EXPECT_EQ(accepted(text).host, "xn--bcher-kva.example") << text;
  }
  EXPECT_EQ(accepted("gemini://stra\xC3\x9F"
                     "e.example/")
                .host,
            "xn--strae-oqa.example");
  EXPECT_EQ(accepted("gemini://ex%61mple.org/").host, "example.org");
  const Uri digits = accepted(
      "gemini://\xEF\xBC\x91"
      "27.0.0.1/");
  EXPECT_EQ(digits.host, "127.0.0.1");
  for (const auto& text :
       {"gemini://b\xFC"
        "cher.example/"s,
        "gemini://b%FCcher.example/"s, "gemini://b%C3\xBC.example/"s, "gemini://%C3\x84/"s,
        "gemini://a%2Fb/"s, "gemini://a%40b/"s, "gemini://a%00b/"s, "gemini://a%3A1/"s,
        "gemini://a%20b/"s, "gemini://a%25b/"s, "gemini://%5B::1%5D/"s,
        "gemini://a\xEF\xBC\x8F"
        "b/"s,
        "gemini://\xE2\x80\x8D/"s, "gemini://\xC2\xAD/"s, "gemini://\xC3\xBC..a/"s,
        "gemini://" + std::string(3000, '\xC3') + "/",
        "gemini://-\xC3\xBC"
        "/"s}) {
    expectRefused(text, UriError::kHost);
  }
}

TEST(Uri, PutsAnIpv6AddressIntoBracketsWhereAUrlNeedsThem) {
  EXPECT_EQ(hostInUrl("::1"), "[::1]");
  EXPECT_EQ(hostInUrl("[::1]"), "[::1]");
  EXPECT_EQ(hostInUrl("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(hostInUrl("example.org"), "example.org");
  EXPECT_EQ(hostInUrl(""), "");
}

TEST(Uri, IgnoresADotAtTheEndOfAHost) {
  EXPECT_EQ(accepted("gemini://example.org./x").host, "example.org");
  EXPECT_EQ(accepted("gemini://example.org.:1965/x").port, 1965);
  EXPECT_EQ(accepted("gemini://127.0.0.1./").host, "127.0.0.1");
  expectRefused("gemini://example.org../", UriError::kHost);
  expectRefused("gemini://./", UriError::kHost);
}

TEST(Uri, WantsAHostForTheSmallWebsSchemes) {
  for (const auto* text : {"gemini:", "gemini:h/", "gemini:/h", "gemini://", "gemini:///x",
                           "gemini://:1965/", "gemini://?q", "titan:///x;size=1", "spartan:/x"}) {
    expectRefused(text, UriError::kHost);
  }
}

TEST(Uri, AcceptsForeignSchemesWithOrWithoutAuthority) {
  EXPECT_EQ(accepted("mailto:x@y").path, "x@y");
  EXPECT_EQ(accepted("mailto:x@y").host, "");
  EXPECT_EQ(accepted("data:,x").scheme, "data");
  EXPECT_EQ(accepted("file:///etc/passwd").path, "/etc/passwd");
  EXPECT_EQ(accepted("https://h/").scheme, "https");
  EXPECT_EQ(accepted("a+b-c.1:x").scheme, "a+b-c.1");
  EXPECT_EQ(accepted("x:").path, "");
}

TEST(Uri, RefusesWhatHasNoScheme) {
  for (const auto* text :
       {"", "/", "//h/", "h/", "h", ":", "://h/", "1a:x", "-a:x", "Hello Gemini!", " gemini://h/",
        "\xEF\xBB\xBFgemini://h/", "a_b:x", "?a:b"}) {
    expectRefused(text, UriError::kNoScheme);
  }
}

TEST(Uri, RefusesUserinfoEvenWhenItIsEmpty) {
  for (const auto* text :
       {"gemini://user@h/", "gemini://user:pw@h/", "gemini://:secret@h/", "gemini://@h/",
        "gemini://h@/", "gemini://@", "gemini://@[::1]/", "https://user@h/"}) {
    expectRefused(text, UriError::kUserinfo);
  }
}

TEST(Uri, AcceptsAnAtSignBehindTheAuthority) {
  EXPECT_EQ(accepted("gemini://h/@alice").path, "/@alice");
  EXPECT_EQ(accepted("gemini://h/?a@b").query, "a@b");
  EXPECT_EQ(accepted("gemini://h?a@b").query, "a@b");
  EXPECT_EQ(accepted("gemini://h/a:b@c").path, "/a:b@c");
}

TEST(Uri, RefusesAFragmentEvenWhenItIsEmpty) {
  for (const auto* text : {"gemini://h/#top", "gemini://h/?q#f", "gemini://h/x#", "gemini://h#x",
                           "gemini://h#", "https://h/#x", "mailto:x@y#"}) {
    expectRefused(text, UriError::kFragment);
  }
}

TEST(Uri, RefusesBytesThatMustBePercentEncoded) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool legal =
        byte < 0x80 && (std::isalnum(byte) != 0 ||
                        std::string_view("-._~!$&'()*+,;=:@/?").find(c) != std::string_view::npos);
    if (legal || c == '%' || c == '#') continue;
    expectRefused(std::string("gemini://h/") + c, UriError::kByte);
    expectRefused(std::string("gemini://h/?") + c + "x", UriError::kByte);
  }
}

TEST(Uri, AcceptsValidUtf8InPathAndQueryOnly) {
  EXPECT_EQ(accepted("gemini://h/caf\xC3\xA9?\xF0\x9F\x9A\x80").path, "/caf\xC3\xA9");
  for (const auto* text : {"gemini://h/\xDC", "gemini://h/\xC3", "gemini://h/?\xED\xA0\x80",
                           "gemini://h/\xC2\x85", "gemini://h/\xC0\xAF"}) {
    expectRefused(text, UriError::kByte);
  }
}

TEST(Uri, RefusesBrokenPercentEncoding) {
  for (const auto* text : {"gemini://h/%zz", "gemini://h/%2", "gemini://h/%", "gemini://h/%2?0",
                           "gemini://h/?%", "gemini://h/%%20", "mailto:%"}) {
    expectRefused(text, UriError::kPercent);
  }
  EXPECT_EQ(accepted("gemini://h/%00%Ae").path, "/%00%Ae");
}

/// Poco's view of `text` must be ours. Explained differences:
/// - Poco decodes the path: ours is compared after decoding;
/// - Poco has no "absent": an absent port is 0 there, an absent query is empty;
/// - Poco keeps the dot at the end of a host;
/// - Poco refuses a scheme with nothing behind it, which RFC 3986 allows ("path-empty").
/// What Poco accepts beyond ours (userinfo, fragments, relative references) is not looked at.
void expectPocoAgrees(const std::string& text, const Uri& ours) {
  if (text == ours.scheme + ":") return;
  try {
    const Poco::URI poco(text);
    ASSERT_EQ(poco.getScheme(), ours.scheme) << text;
    std::string host = poco.getHost();
    if (host.ends_with('.')) host.pop_back();
    ASSERT_EQ(host, ours.host) << text;
    ASSERT_EQ(poco.getPort(), ours.port.value_or(0)) << text;
    ASSERT_EQ(poco.getPath(), percentDecode(ours.path)) << text;
    ASSERT_EQ(poco.getRawQuery(), ours.query.value_or("")) << text;
    ASSERT_EQ(poco.getUserInfo() + poco.getFragment(), "") << text;
  } catch (const Poco::Exception& refused) {
    FAIL() << text << ": " << refused.displayText();
  }
}

void compareAll(std::string& text, int more, std::size_t& compared) {
  const auto parsed = parseUri(text);
  if (const auto* ours = std::get_if<Uri>(&parsed)) {
    ASSERT_NO_FATAL_FAILURE(expectPocoAgrees(text, *ours));
    ++compared;
  }
  if (more == 0) return;
  for (const char c : std::string_view("a/.%2f;?#:@")) {
    text.push_back(c);
    ASSERT_NO_FATAL_FAILURE(compareAll(text, more - 1, compared));
    text.pop_back();
  }
}

TEST(Uri, AgreesWithPocoOnAllShortTexts) {
  const struct {
    std::string prefix;
    int length;
  } spaces[] = {{"gemini://h", 6}, {"gemini://h/", 5}, {"gemini://", 5}, {"a", 5}, {"", 5}};
  std::size_t compared = 0;
  for (const auto& space : spaces) {
    std::string text = space.prefix;
    ASSERT_NO_FATAL_FAILURE(compareAll(text, space.length, compared));
  }
  EXPECT_GT(compared, 100'000u);
}

}  // namespace
}  // namespace egalaxyd
