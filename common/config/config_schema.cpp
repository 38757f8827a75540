#include "common/config/config_schema.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "common/base/ascii.h"
#include "common/base/limits.h"
#include "common/base/units.h"
#include "common/config/config_check.h"
#include "common/config/config_loader.h"
#include "common/config/people.h"

namespace egalaxyd {
namespace {

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isLower(char c) { return c >= 'a' && c <= 'z'; }
bool isUpper(char c) { return c >= 'A' && c <= 'Z'; }

/// A Form whose values are strings; `parse` and `print` know nothing of Scalar.
template <class T, class Parse, class Print>
Form<T> stringForm(std::string allowed, Parse parse, Print print) {
  return {"a string", std::move(allowed),
          [parse](const Scalar& value) -> std::optional<T> {
            const auto* text = std::get_if<std::string>(&value);
            return text ? parse(*text) : std::nullopt;
          },
          [print](const T& value) -> Scalar { return std::string(print(value)); }};
}

template <class T>
Form<T> wholeNumber(T least, T most) {
  return {"an integer", fmt::format("{} to {}", least, most),
          [=](const Scalar& value) -> std::optional<T> {
            const auto* number = std::get_if<std::int64_t>(&value);
            if (!number || *number < std::int64_t{least} || *number > std::int64_t{most}) {
              return std::nullopt;
            }
            return static_cast<T>(*number);
          },
          [](const T& value) -> Scalar { return std::int64_t{value}; }};
}

/// "auto" (0), or 1 to `most`.
Form<std::uint32_t> autoOrNumber(std::uint32_t most) {
  const auto number = wholeNumber<std::uint32_t>(1, most);
  return {"an integer or a string", "\"auto\" or " + number.allowed,
          [number](const Scalar& value) {
            return value == Scalar(std::string("auto")) ? 0 : number.read(value);
          },
          [number](const std::uint32_t& value) {
            return value == 0 ? Scalar(std::string("auto")) : number.write(value);
          }};
}

/// One of a few names.
template <class E>
Form<E> oneOf(std::vector<std::pair<std::string_view, E>> names) {
  std::string allowed;
  for (const auto& [name, value] : names) {
    allowed += fmt::format("{}\"{}\"", allowed.empty() ? "" : ", ", name);
  }
  const auto parse = [names](std::string_view text) -> std::optional<E> {
    for (const auto& [name, value] : names) {
      if (name == text) return value;
    }
    return std::nullopt;
  };
  const auto print = [names](E wanted) {
    const auto found =
        std::ranges::find_if(names, [wanted](const auto& entry) { return entry.second == wanted; });
    return found->first;
  };
  auto form = stringForm<E>(std::move(allowed), parse, print);
  for (const auto& [name, value] : names) form.names.emplace_back(name);
  return form;
}

/// A string of letters, digits and `others`: what may stand in META as a parameter.
Form<std::string> parameter(std::string allowed, std::string_view others) {
  const auto parse = [others](const std::string& text) -> std::optional<std::string> {
    const auto legal = [others](char c) {
      return isLower(c) || isUpper(c) || isDigit(c) || others.find(c) != std::string_view::npos;
    };
    return std::ranges::all_of(text, legal) ? std::optional(text) : std::nullopt;
  };
  return stringForm<std::string>(std::move(allowed), parse,
                                 [](const std::string& text) { return text; });
}

bool isHostName(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  while (true) {
    const std::string_view label = name.substr(0, name.find('.'));
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') {
      return false;
    }
    const auto legal = [](char c) { return isLower(c) || isDigit(c) || c == '-' || c == '_'; };
    if (!std::ranges::all_of(label, legal)) return false;
    if (label.size() == name.size()) return true;
    name.remove_prefix(label.size() + 1);
  }
}

std::string_view withoutBrackets(std::string_view text) {
  const bool bracketed = text.size() > 2 && text.front() == '[' && text.back() == ']';
  return bracketed ? text.substr(1, text.size() - 2) : text;
}

std::optional<std::string> parseHost(std::string_view text) {
  if (const auto address = IpAddress::parse(withoutBrackets(text))) return address->text();
  const std::string lower = lowerCase(text);
  const std::string_view view = lower;
  if (lower == "*" || isHostName(view.substr(view.starts_with("*.") ? 2 : 0))) return lower;
  return std::nullopt;
}

/// "SHA256:HEX", "HEX" or the "AA:BB:…" that openssl prints.
std::optional<std::string> parseFingerprint(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  std::string digits = lowerCase(text);
  if (digits.starts_with(kPrefix)) digits.erase(0, kPrefix.size());
  digits.erase(std::remove(digits.begin(), digits.end(), ':'), digits.end());
  const auto isHex = [](char c) { return isDigit(c) || (c >= 'a' && c <= 'f'); };
  if (digits.size() != 64 || !std::ranges::all_of(digits, isHex)) return {};
  return digits;
}

/// "sha256:HEX", as `egalaxyctl token` prints it.
std::optional<TokenDigest> parseTokenDigest(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (!text.starts_with(kPrefix)) return std::nullopt;
  auto digits = parseFingerprint(text);
  return digits ? std::optional(TokenDigest{std::move(*digits), ""}) : std::nullopt;
}

std::optional<ListenAddress> parseListen(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  ListenAddress result;
  const auto port = parseNumber(text.substr(colon + 1), 0, UINT16_MAX);
  if (!port) return std::nullopt;
  result.port = static_cast<std::uint16_t>(*port);
  const std::string_view host = text.substr(0, colon);
  if (host.empty()) return result;
  const bool bracketed = host.front() == '[';
  const auto parsed = parseHost(host);
  if (!parsed || parsed->front() == '*') return std::nullopt;
  // An IPv6 address stands in brackets and nothing else does.
  if (bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  result.host = *parsed;
  return result;
}

/// The address of an application as UpstreamArgs has it; `usualPort` where it names none, 0: it
/// has to.
std::optional<std::string> parseUpstream(std::string_view text, std::uint16_t usualPort) {
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) {
    // sun_path of sockaddr_un, with its zero.
    const bool legal =
        text.size() > kUnix.size() && text[kUnix.size()] == '/' && text.size() - kUnix.size() < 108;
    return legal ? std::optional(std::string(text)) : std::nullopt;
  }
  const bool hasPort = text.rfind(':') != std::string_view::npos && !text.ends_with(']');
  std::string whole(text);
  if (!hasPort && usualPort != 0) whole += ":" + std::to_string(usualPort);
  const auto address = parseListen(whole);
  if (!address || address->host.empty() || address->port == 0) return std::nullopt;
  return address->text();
}

}  // namespace

std::string_view typeName(const Scalar& value) {
  constexpr std::array<std::string_view, 3> kNames{"a boolean", "an integer", "a string"};
  return kNames[value.index()];
}

std::string tomlText(const Scalar& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  std::string out = "\"";
  for (const char c : std::get<std::string>(value)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string tomlKey(std::string_view key) {
  const auto bare = [](char c) {
    return isLower(c) || isUpper(c) || isDigit(c) || c == '-' || c == '_';
  };
  const bool plain = !key.empty() && std::ranges::all_of(key, bare);
  return plain ? std::string(key) : tomlText(std::string(key));
}

std::optional<ModuleArgs> moduleArgs(std::string_view name) {
  // In the order of kModuleNames.
  const std::array<ModuleArgs, std::variant_size_v<ModuleArgs>> defaults{
      DirectoryArgs{}, FileArgs{},     AuthenticatedArgs{}, InputArgs{},  SpyArgs{},
      InfoArgs{},      RedirectArgs{}, ReplyArgs{},         PluginArgs{}, CgiArgs{},
      ScgiArgs{},      FastcgiArgs{},  ProxyArgs{},         HomesArgs{}};
  for (std::size_t i = 0; i < kModuleNames.size(); ++i) {
    if (kModuleNames[i] == name) return defaults[i];
  }
  return std::nullopt;
}

std::string withoutPassword(std::string_view url) {
  constexpr std::string_view kMask = "(masked)";
  std::string shown(url);
  const auto begin = shown.find("://");
  if (begin != std::string::npos) {
    const std::size_t from = begin + 3;
    const std::size_t end = std::min(shown.find_first_of("/?", from), shown.size());
    const auto at = shown.rfind('@', end);
    const auto colon = shown.find(':', from);
    if (at != std::string::npos && colon < at) shown.replace(colon + 1, at - colon - 1, kMask);
  }
  constexpr std::string_view kKey = "password=";
  for (auto key = shown.find(kKey); key != std::string::npos; key = shown.find(kKey, key)) {
    key += kKey.size();
    shown.replace(key, std::min(shown.find('&', key), shown.size()) - key, kMask);
  }
  return shown;
}

namespace forms {

Form<bool> flag() {
  return {"a boolean", "",
          [](const Scalar& value) -> std::optional<bool> {
            const auto* flag = std::get_if<bool>(&value);
            return flag ? std::optional(*flag) : std::nullopt;
          },
          [](const bool& value) -> Scalar { return value; }};
}

Form<std::string> text() {
  const auto same = [](const std::string& text) { return std::optional(text); };
  return stringForm<std::string>("", same, [](const std::string& text) { return text; });
}

Form<std::filesystem::path> path() {
  using std::filesystem::path;
  const auto parse = [](const std::string& text) -> std::optional<path> {
    if (text.find('\0') != std::string::npos) return std::nullopt;
    return path(text);
  };
  return stringForm<path>("a path", parse, [](const path& value) { return value.string(); });
}

Form<std::uint32_t> count() { return wholeNumber<std::uint32_t>(0, 1'000'000); }
Form<int> status() { return wholeNumber<int>(10, 99); }
Form<std::uint16_t> port() {
  auto form = wholeNumber<std::uint16_t>(1, 65535);
  form.example = "1965";
  return form;
}

Form<std::uint32_t> workers() { return autoOrNumber(kMostWorkers); }
Form<std::uint32_t> processes() { return autoOrNumber(kMostProcesses); }

Form<std::uint64_t> size() {
  return {"a string or an integer", R"(a size such as "64KiB" or "10MiB" (B, KiB, MiB, GiB))",
          [](const Scalar& value) -> std::optional<std::uint64_t> {
            if (const auto* text = std::get_if<std::string>(&value)) return parseSize(*text);
            const auto* bytes = std::get_if<std::int64_t>(&value);
            if (!bytes || *bytes < 0) return std::nullopt;
            return static_cast<std::uint64_t>(*bytes);
          },
          [](const std::uint64_t& value) -> Scalar { return sizeText(value); }};
}

constexpr auto kDurations = R"(a duration such as "250ms", "30s", "5m", "2h" or "7d")";

Form<milliseconds> duration() {
  return stringForm<milliseconds>(kDurations, parseDuration, durationText);
}

Form<OptionalDuration> optionalDuration() {
  const auto parse = [](const std::string& text) -> std::optional<OptionalDuration> {
    if (text == "off") return OptionalDuration();
    const auto duration = parseDuration(text);
    return duration ? std::optional<OptionalDuration>(duration) : std::nullopt;
  };
  const auto print = [](const OptionalDuration& value) {
    return value ? durationText(*value) : "off";
  };
  return stringForm<OptionalDuration>(fmt::format("{}, or \"off\"", kDurations), parse, print);
}

Form<OptionalDuration> cacheDuration() {
  const auto known = optionalDuration();
  return {"a string", known.allowed + ", or \"forever\"",
          [known](const Scalar& value) -> std::optional<OptionalDuration> {
            if (value == Scalar(std::string("forever"))) return OptionalDuration(kForever);
            return known.read(value);
          },
          [known](const OptionalDuration& value) {
            return value == kForever ? Scalar(std::string("forever")) : known.write(value);
          }};
}

Form<OptionalDuration> watch() {
  const auto duration = optionalDuration();
  return {"a boolean or a string", "true, false, or how often to look, from \"1s\" to \"1h\"",
          [duration](const Scalar& value) -> std::optional<OptionalDuration> {
            if (const bool* wanted = std::get_if<bool>(&value)) {
              return *wanted ? OptionalDuration(kUsualWatch) : OptionalDuration();
            }
            const auto given = duration.read(value);
            const bool fits = given && *given && **given >= std::chrono::seconds(1) &&
                              **given <= std::chrono::hours(1);
            return fits ? given : std::nullopt;
          },
          [duration](const OptionalDuration& value) -> Scalar {
            if (!value || value == kUsualWatch) return value.has_value();
            return duration.write(value);
          }};
}

Form<std::string> fingerprint() {
  auto form = stringForm<std::string>(
      R"(the SHA-256 of a certificate or of its public key: "SHA256:" and 64 hex digits)",
      parseFingerprint, [](const std::string& digits) { return "SHA256:" + digits; });
  form.secretIfWrong = true;  // a token where a fingerprint belongs
  form.example = R"("SHA256:…")";
  return form;
}

namespace {

/// `known`, or what `isOther` takes, as it is.
template <class IsOther>
Form<std::string> orElse(const Form<std::string>& known, std::string_view inWords,
                         IsOther isOther) {
  Form<std::string> form = known;
  form.allowed += inWords;
  form.read = [known, isOther](const Scalar& value) -> std::optional<std::string> {
    const auto* text = std::get_if<std::string>(&value);
    return text != nullptr && isOther(*text) ? *text : known.read(value);
  };
  form.write = [known, isOther](const std::string& text) {
    return isOther(text) ? Scalar(text) : known.write(text);
  };
  return form;
}

}  // namespace

Form<std::string> listedFingerprint() {
  auto form = orElse(fingerprint(), R"(, or "@NAME" of [people])", [](std::string_view text) {
    return text.starts_with('@') && isName(text.substr(1));
  });
  form.mayBePerson = true;
  return form;
}

Form<std::string> writerFingerprint() {
  auto form = orElse(listedFingerprint(), R"(, or "*" for any certificate)",
                     [](std::string_view text) { return text == "*"; });
  form.example = R"("*")";
  return form;
}

Form<TokenDigest> tokenDigest() {
  auto form = stringForm<TokenDigest>(
      R"("sha256:" and 64 hex digits, as "egalaxyctl token" prints them)", parseTokenDigest,
      [](const TokenDigest& digest) { return "sha256:" + digest.hex; });
  form.secret = true;
  form.secretIfWrong = true;  // a token where its digest belongs
  form.example = R"("sha256:…")";
  return form;
}

Form<TokenDigest> optionalTokenDigest() {
  auto form = tokenDigest();
  form.allowed += R"(, or "")";
  form.read = [known = form.read](const Scalar& value) -> std::optional<TokenDigest> {
    return value == Scalar(std::string()) ? TokenDigest() : known(value);
  };
  form.write = [known = form.write](const TokenDigest& digest) {
    return digest.hex.empty() ? Scalar(std::string()) : known(digest);
  };
  return form;
}

Form<UploadProtocol> uploadProtocol() {
  return oneOf<UploadProtocol>(
      {{"titan", UploadProtocol::kTitan}, {"spartan", UploadProtocol::kSpartan}});
}

namespace {

/// `known`, or "off".
Form<std::optional<std::uint64_t>> orOff(const Form<std::uint64_t>& known) {
  return {known.types, known.allowed + ", or \"off\"",
          [known](const Scalar& value) -> std::optional<std::optional<std::uint64_t>> {
            if (value == Scalar(std::string("off"))) return std::optional<std::uint64_t>();
            const auto number = known.read(value);
            if (!number) return std::nullopt;
            return number;
          },
          [known](const std::optional<std::uint64_t>& value) {
            return value ? known.write(*value) : Scalar(std::string("off"));
          }};
}

}  // namespace

Form<std::optional<std::uint64_t>> optionalSize() { return orOff(size()); }

Form<std::optional<std::uint64_t>> optionalCount() {
  constexpr std::int64_t kMost = 1'000'000'000;
  return orOff(
      {"an integer or a string", fmt::format("0 to {}", kMost),
       [](const Scalar& value) -> std::optional<std::uint64_t> {
         const auto* number = std::get_if<std::int64_t>(&value);
         if (!number || *number < 0 || *number > kMost) return std::nullopt;
         return static_cast<std::uint64_t>(*number);
       },
       [](const std::uint64_t& value) -> Scalar { return static_cast<std::int64_t>(value); }});
}

Form<FreeFloor> freeFloor() {
  const auto known = size();
  return {known.types, R"(a share such as "1%", up to "99%", or )" + known.allowed,
          [known](const Scalar& value) -> std::optional<FreeFloor> {
            const auto* text = std::get_if<std::string>(&value);
            if (text != nullptr && text->ends_with('%')) {
              const auto percent = parseNumber(text->substr(0, text->size() - 1), 0, 99);
              if (!percent) return std::nullopt;
              return FreeFloor{0, static_cast<std::uint32_t>(*percent)};
            }
            const auto bytes = known.read(value);
            return bytes ? std::optional(FreeFloor{*bytes, 0}) : std::nullopt;
          },
          [known](const FreeFloor& value) -> Scalar {
            if (value.percent != 0) return fmt::format("{}%", value.percent);
            return known.write(value.bytes);
          }};
}

Form<Overwrite> overwrite() {
  return oneOf<Overwrite>({{"any", Overwrite::kAny}, {"own", Overwrite::kOwn}});
}

Form<std::uint32_t> fileMode() {
  return stringForm<std::uint32_t>(
      R"("folder" (that of the folder, without x), or "0600" to "0666")",
      [](std::string_view text) -> std::optional<std::uint32_t> {
        if (text == "folder") return 0;
        std::uint32_t mode = 0;
        const char* const end = text.data() + text.size();
        const auto [rest, error] = std::from_chars(text.data(), end, mode, 8);
        const bool usable = (mode & 0600U) == 0600U && (mode & ~0666U) == 0;
        if (error != std::errc() || rest != end || !usable) return std::nullopt;
        return mode;
      },
      [](const std::uint32_t& mode) {
        return mode == 0 ? std::string("folder") : fmt::format("{:04o}", mode);
      });
}

Form<KeptVersions> keptVersions() {
  constexpr std::int64_t kMost = 1'000'000;
  const auto known = duration();
  return {
      "an integer or a string",
      fmt::format("a number of versions from 1 to {}, a time such as \"90d\", or \"off\"", kMost),
      [known](const Scalar& value) -> std::optional<KeptVersions> {
        if (value == Scalar(std::string("off"))) return KeptVersions{0, std::nullopt};
        if (const auto* number = std::get_if<std::int64_t>(&value)) {
          if (*number < 1 || *number > kMost) return std::nullopt;
          return KeptVersions{static_cast<std::uint64_t>(*number), std::nullopt};
        }
        const auto age = known.read(value);
        if (!age || age->count() <= 0) return std::nullopt;
        return KeptVersions{0, *age};
      },
      [known](const KeptVersions& value) -> Scalar {
        if (value.age) return known.write(*value.age);
        if (value.count == 0) return std::string("off");
        return static_cast<std::int64_t>(value.count);
      }};
}

Form<ListenAddress> listenAddress() {
  auto form = stringForm<ListenAddress>(R"("HOST:PORT", "[IPV6]:PORT" or ":PORT")", parseListen,
                                        [](const ListenAddress& value) { return value.text(); });
  form.example = R"(":1965")";
  return form;
}

Form<Cidr> cidr() {
  auto form =
      stringForm<Cidr>(R"(a network such as "10.0.0.0/8" or "2001:db8::/32", or one address)",
                       Cidr::parse, [](const Cidr& value) { return value.text(); });
  form.example = R"("10.0.0.0/8")";
  return form;
}

Form<std::string> language() {
  return parameter(R"(language tags such as "en" or "en,fr", or "")", "-,");
}

Form<std::string> charset() { return parameter(R"(a name such as "utf-8", or "")", "-_.:+"); }

Form<std::string> host() {
  auto form = stringForm<std::string>(
      R"(a host name such as "example.org" (beyond ASCII: its "xn--" form), )"
      R"("*.example.org", "*" or an IP address)",
      parseHost, [](const std::string& name) { return name; });
  form.example = R"("www.example.org")";
  return form;
}

Form<SandboxMode> sandboxMode() {
  return oneOf<SandboxMode>({{"off", SandboxMode::kOff},
                             {"auto", SandboxMode::kAuto},
                             {"required", SandboxMode::kRequired}});
}

Form<StorageKind> storageKind() {
  return oneOf<StorageKind>(
      {{"sqlite", StorageKind::kSqlite}, {"postgresql", StorageKind::kPostgresql}});
}

Form<std::string> databaseUrl() {
  Form<std::string> form = text();
  form.write = [](const std::string& url) { return Scalar(withoutPassword(url)); };
  form.secretIfWrong = true;
  return form;
}

Form<TlsVersion> tlsVersion() {
  return oneOf<TlsVersion>({{"1.2", TlsVersion::k12}, {"1.3", TlsVersion::k13}});
}

Form<LogLevel> logLevel() {
  std::vector<std::pair<std::string_view, LogLevel>> names;
  for (std::size_t i = 0; i < kLogLevels.size(); ++i) {
    names.emplace_back(kLogLevels[i], static_cast<LogLevel>(i));
  }
  return oneOf(std::move(names));
}

Form<LogFormat> logFormat() {
  return oneOf<LogFormat>(
      {{"text", LogFormat::kText}, {"json", LogFormat::kJson}, {"combined", LogFormat::kCombined}});
}

Form<AddressMask> addressMask() {
  return oneOf<AddressMask>(
      {{"off", AddressMask::kOff}, {"masked", AddressMask::kMasked}, {"full", AddressMask::kFull}});
}

Form<SymlinkPolicy> symlinkPolicy() {
  return oneOf<SymlinkPolicy>({{"deny", SymlinkPolicy::kDeny},
                               {"inside", SymlinkPolicy::kInside},
                               {"follow", SymlinkPolicy::kFollow}});
}

Form<ListingSort> listingSort() {
  return oneOf<ListingSort>(
      {{"name", ListingSort::kName}, {"time", ListingSort::kTime}, {"size", ListingSort::kSize}});
}

Form<std::uint32_t> pageEntries() { return wholeNumber<std::uint32_t>(1, 10'000); }

Form<Sidecar> sidecar() {
  return oneOf<Sidecar>(
      {{"", Sidecar::kNone}, {".meta", Sidecar::kMeta}, {".molly", Sidecar::kMolly}});
}

Form<ScriptStyle> scriptStyle() {
  return oneOf<ScriptStyle>({{"jetforce", ScriptStyle::kJetforce},
                             {"gmid", ScriptStyle::kGmid},
                             {"molly-brown", ScriptStyle::kMollyBrown},
                             {"gmcapsule", ScriptStyle::kGmcapsule}});
}

Form<bool> decides() { return oneOf<bool>({{"server", false}, {"script", true}}); }

Form<bool> scriptsAs() { return oneOf<bool>({{"user", true}, {"server", false}}); }

Form<bool> upstreamHost() { return oneOf<bool>({{"keep", true}, {"upstream", false}}); }

Form<ProxyProtocol> proxyProtocol() {
  return oneOf<ProxyProtocol>(
      {{"off", ProxyProtocol::kOff}, {"v1", ProxyProtocol::kV1}, {"v2", ProxyProtocol::kV2}});
}

Form<std::string> applicationAddress() {
  auto form = stringForm<std::string>(
      R"("unix:/run/app.sock", "127.0.0.1:4000", "[::1]:4000" or "name:4000")",
      [](std::string_view text) { return parseUpstream(text, 0); },
      [](const std::string& text) { return text; });
  form.example = R"("unix:/run/app.sock")";
  return form;
}

Form<std::string> capsuleAddress() {
  const auto parse = [](std::string_view text) {
    constexpr std::string_view kScheme = "gemini://";
    if (text.starts_with(kScheme)) text.remove_prefix(kScheme.size());
    if (text.ends_with('/') && !text.starts_with("unix:")) text.remove_suffix(1);
    return parseUpstream(text, kGeminiPort);
  };
  auto form =
      stringForm<std::string>(R"("gemini://127.0.0.1:1966", "gemini://name" or "unix:/path")",
                              parse, [](const std::string& text) { return text; });
  form.example = R"("gemini://127.0.0.1:1966")";
  return form;
}

}  // namespace forms
}  // namespace egalaxyd
