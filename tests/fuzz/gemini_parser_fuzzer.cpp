// Bytes of a client: the parser's answer must not depend on their split, and what the router makes
// of it must be a request in normal form or a legal header.
#include "worker/protocol/gemini_parser.h"

#include <algorithm>
#include <memory>
#include <string>

#include "tests/fuzz/support.h"
#include "worker/protocol/gemini_encoder.h"
#include "worker/route/router.h"

namespace egalaxyd::fuzz {
namespace {

class SilentSite final : public Site {
 public:
  void handle(Request, Responder, Services&) override {}
};

struct Outcome {
  ParseStep step;
  std::size_t consumed = 0;
};

/// Feeds pieces of `pieceSize` bytes.
Outcome parse(std::string_view bytes, std::size_t pieceSize) {
  GeminiParser parser;
  Outcome outcome;
  while (!bytes.empty() && std::holds_alternative<NeedMore>(outcome.step)) {
    const std::string_view piece = bytes.substr(0, pieceSize);
    std::size_t consumed = 0;
    outcome.step = parser.feed(piece, consumed);
    require(consumed <= piece.size(), "eats no more than it got");
    require(consumed == piece.size() || !std::holds_alternative<NeedMore>(outcome.step),
            "eats all before it needs more");
    outcome.consumed += consumed;
    bytes.remove_prefix(consumed);
  }
  return outcome;
}

std::string summary(const ParseStep& step) {
  if (const auto* line = std::get_if<RequestLine>(&step)) return "url " + line->url;
  if (const auto* malformed = std::get_if<Malformed>(&step)) return "malformed " + malformed->text;
  return "more";
}

const Gate& gate() {
  static const SiteMap sites = [] {
    auto paths = std::make_shared<PathMap>();
    paths->add("/", std::make_shared<SilentSite>());
    paths->add("/wiki", std::make_shared<SilentSite>());
    auto wiki = std::make_shared<PathMap>();
    wiki->add("/wiki", std::make_shared<SilentSite>());
    HostMap<std::shared_ptr<PathMap>> hosts;
    hosts.add("h", paths);
    hosts.add("*.h", wiki);
    return SiteMap(std::move(hosts));
  }();
  static const Gate made = [] {
    Gate gate(sites);
    gate.setPorts({11965}, 11965);
    return gate;
  }();
  return made;
}

void checkRouting(RequestLine line) {
  require(line.url.size() <= 1024, "a URL of at most 1024 bytes");
  const std::string url = line.url;
  const auto result = gate().admit(std::move(line), ListenerKind::kGemini, "", IpAddress());
  if (const auto* response = std::get_if<Response>(&result)) {
    const int status = static_cast<int>(response->status);
    require(status == 50 || status == 51 || status == 53 || status == 59, "a refusal's status");
    requireLegalHeader(encodeGeminiHeader(*response).line);
    return;
  }
  const auto& [site, request, takes] = std::get<Routed>(result);
  require(!request.upload || takes != AcceptedBody::kNothing, "no upload where none is taken");
  require(site != nullptr, "a site");
  require(request.url == url, "the URL as sent");
  requireNormalPath(request.path);
  const std::string_view rest = request.sitePath();
  require(rest.empty() || rest.starts_with('/'), "a mount that ends on a segment's border");
  requireLegalHeader(encodeGeminiHeader(Response::redirect(request.path, true)).line);
  requireLegalHeader(
      encodeGeminiHeader(Response::failure(Status::kNotFound, request.query.value_or(""))).line);
}

}  // namespace

void gemini_parser(std::string_view input) {
  Outcome whole = parse(input, std::max<std::size_t>(input.size(), 1));
  for (const std::size_t pieceSize : {1u, 2u, 3u, 7u, 512u}) {
    const Outcome split = parse(input, pieceSize);
    require(summary(split.step) == summary(whole.step), "the same answer for every split");
    require(split.consumed == whole.consumed, "the same length for every split");
  }
  require(input.size() < 1026 || !std::holds_alternative<NeedMore>(whole.step),
          "an answer at byte 1026");
  if (auto* malformed = std::get_if<Malformed>(&whole.step)) {
    requireLegalHeader(
        encodeGeminiHeader(Response::failure(Status::kBadRequest, malformed->text)).line);
  }
  if (auto* line = std::get_if<RequestLine>(&whole.step)) checkRouting(std::move(*line));
}

}  // namespace egalaxyd::fuzz
