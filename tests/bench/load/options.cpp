#include "load/options.h"

#include <arpa/inet.h>
#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>

namespace egalaxyd::load {
namespace {

constexpr const char* kUsage =
    "egalaxyd_load --url URL [--requests N | --seconds S] [OPTIONS]\n"
    "  --protocol gemini|spartan   default: the URL's scheme\n"
    "  --connections C             open at once (64)\n"
    "  --simultaneous              all C connect first, then each sends one request\n"
    "  --upload BYTES              store so many over titan or spartan, as --url and a number\n"
    "  --check-body FILE           every answer must hold these bytes\n"
    "  --body-size N               every answer must be this long\n"
    "  --stall KIND:COUNT          repeatable: silent, half-hello, trickle, unread, sip, hello,\n"
    "                              slow-finish, upload (over Spartan)\n"
    "  --stall-sources N           spread the stalled over N addresses of their own\n"
    "  --nagle                     without TCP_NODELAY\n"
    "  --stall-url URL             what unread and sip ask for (default: --url)\n"
    "  --timeout S                 of one request (30)\n"
    "  --lid S                     of the whole run (120)\n"
    "  --processes P               default: as the descriptor limit demands\n"
    "  --sources N                 spread the clients over N loopback addresses (1)\n";

[[noreturn]] void wrong(const std::string& text) {
  std::fprintf(stderr, "egalaxyd_load: %s\n%s", text.c_str(), kUsage);
  std::exit(64);
}

double positive(const char* name, const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (*end != '\0' || !(value > 0)) wrong(std::string(name) + " wants a number above 0: " + text);
  return value;
}

/// "gemini://localhost:1965/page"; no IPv6, no userinfo. Loopback only: this is no weapon.
Target parseTarget(const std::string& url, const char* protocol, bool upload) {
  Target target;
  const auto schemeEnd = url.find("://");
  if (schemeEnd == std::string::npos) wrong("not a URL: " + url);
  const std::string scheme = protocol ? protocol : url.substr(0, schemeEnd);
  if (scheme != "gemini" && scheme != "titan" && scheme != "spartan") {
    wrong("not gemini, titan or spartan: " + scheme);
  }
  target.wire = scheme == "spartan" ? Wire::kSpartan : Wire::kGemini;

  const auto slash = url.find('/', schemeEnd + 3);
  const std::string path = slash == std::string::npos ? "/" : url.substr(slash);
  const std::string authority = url.substr(schemeEnd + 3, slash - schemeEnd - 3);
  const auto colon = authority.find(':');
  target.host = authority.substr(0, colon);
  int port = target.wire == Wire::kGemini ? 1965 : 300;
  if (colon != std::string::npos) port = std::atoi(authority.c_str() + colon + 1);

  target.address.sin_family = AF_INET;
  target.address.sin_port = htons(static_cast<std::uint16_t>(port));
  const char* address = target.host == "localhost" ? "127.0.0.1" : target.host.c_str();
  if (inet_pton(AF_INET, address, &target.address.sin_addr) != 1 ||
      ntohl(target.address.sin_addr.s_addr) >> 24 != 127) {
    wrong("only localhost and 127.0.0.0/8 are talked to, not " + target.host);
  }
  if (target.wire == Wire::kGemini) {
    target.requestLine = upload ? url : url + "\r\n";
  } else {
    target.requestLine = target.host + " " + path + (upload ? "" : " 0\r\n");
  }
  return target;
}

Stall parseStall(const std::string& text) {
  const auto colon = text.find(':');
  const std::string name = text.substr(0, colon);
  Stall stall;
  if (name == "silent")
    stall.kind = StallKind::kSilent;
  else if (name == "half-hello")
    stall.kind = StallKind::kHalfHello;
  else if (name == "trickle")
    stall.kind = StallKind::kTrickle;
  else if (name == "unread")
    stall.kind = StallKind::kUnread;
  else if (name == "sip")
    stall.kind = StallKind::kSip;
  else if (name == "hello")
    stall.kind = StallKind::kHello;
  else if (name == "slow-finish")
    stall.kind = StallKind::kSlowFinish;
  else if (name == "upload")
    stall.kind = StallKind::kUpload;
  else
    wrong("no such stall: " + text);
  if (colon == std::string::npos) wrong("--stall wants KIND:COUNT: " + text);
  stall.count = static_cast<int>(positive("--stall", text.c_str() + colon + 1));
  return stall;
}

std::string readFile(const char* path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) wrong(std::string("cannot read ") + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

enum Key {
  kUrl = 256,
  kProtocol,
  kConnections,
  kRequests,
  kSeconds,
  kTimeout,
  kLid,
  kProcesses,
  kSources,
  kCheckBody,
  kBodySize,
  kStall,
  kStallUrl,
  kSimultaneous,
  kStallSources,
  kNagle,
  kUpload
};

const option kLong[] = {{"url", required_argument, nullptr, kUrl},
                        {"protocol", required_argument, nullptr, kProtocol},
                        {"connections", required_argument, nullptr, kConnections},
                        {"requests", required_argument, nullptr, kRequests},
                        {"seconds", required_argument, nullptr, kSeconds},
                        {"timeout", required_argument, nullptr, kTimeout},
                        {"lid", required_argument, nullptr, kLid},
                        {"processes", required_argument, nullptr, kProcesses},
                        {"sources", required_argument, nullptr, kSources},
                        {"check-body", required_argument, nullptr, kCheckBody},
                        {"body-size", required_argument, nullptr, kBodySize},
                        {"stall", required_argument, nullptr, kStall},
                        {"stall-url", required_argument, nullptr, kStallUrl},
                        {"upload", required_argument, nullptr, kUpload},
                        {"stall-sources", required_argument, nullptr, kStallSources},
                        {"nagle", no_argument, nullptr, kNagle},
                        {"simultaneous", no_argument, nullptr, kSimultaneous},
                        {nullptr, 0, nullptr, 0}};

}  // namespace

Options parseOptions(int argc, char** argv) {
  Options options;
  std::string url;
  std::string stallUrl;
  const char* protocol = nullptr;
  for (int key; (key = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    switch (key) {
      case kUrl:
        url = optarg;
        break;
      case kProtocol:
        protocol = optarg;
        break;
      case kConnections:
        options.connections = static_cast<int>(positive("--connections", optarg));
        break;
      case kRequests:
        options.requests = static_cast<std::uint64_t>(positive("--requests", optarg));
        break;
      case kSeconds:
        options.seconds = positive("--seconds", optarg);
        break;
      case kTimeout:
        options.timeout = positive("--timeout", optarg);
        break;
      case kLid:
        options.lid = positive("--lid", optarg);
        break;
      case kProcesses:
        options.processes = static_cast<int>(positive("--processes", optarg));
        break;
      case kSources:
        options.sources = static_cast<int>(positive("--sources", optarg));
        break;
      case kCheckBody:
        options.body = readFile(optarg);
        break;
      case kBodySize:
        options.bodyBytes = static_cast<std::uint64_t>(std::atoll(optarg));
        break;
      case kStall:
        options.stalls.push_back(parseStall(optarg));
        break;
      case kStallUrl:
        stallUrl = optarg;
        break;
      case kUpload:
        options.upload.assign(static_cast<std::size_t>(positive("--upload", optarg)), 'x');
        break;
      case kStallSources:
        options.stallSources = static_cast<int>(positive("--stall-sources", optarg));
        break;
      case kNagle:
        options.nagle = true;
        break;
      case kSimultaneous:
        options.simultaneous = true;
        break;
      default:
        wrong("see the options");
    }
  }
  if (url.empty()) wrong("--url is missing");
  const bool upload = !options.upload.empty();
  if (upload ? url.starts_with("gemini:") : url.starts_with("titan:")) {
    wrong("--upload and a titan or spartan URL want each other");
  }
  options.target = parseTarget(url, protocol, upload);
  options.stallTarget = parseTarget(stallUrl.empty() ? url : stallUrl, protocol, false);
  if (options.simultaneous) {
    options.requests = static_cast<std::uint64_t>(options.connections);
    options.seconds = 0;
  }
  if (options.requests == 0 && options.seconds == 0) wrong("--requests or --seconds is missing");
  if (options.sources + options.stallSources > 250) wrong("there are at most 250 sources");
  if (options.body) options.bodyBytes = options.body->size();
  return options;
}

}  // namespace egalaxyd::load
