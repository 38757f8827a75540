#include <spdlog/fmt/fmt.h>

#include <ostream>

#include "common/base/ascii.h"
#include "common/base/path.h"
#include "ctl/base/command_table.h"
#include "ctl/client/exchange.h"

namespace egalaxyd::ctl {
namespace {

constexpr int kMaxRedirects = 5;  // Gemini 0.24.1, "Redirection"

Result<Target> parsePage(const std::string& url) {
  auto target = parseTarget(url, Protocol::kGemini);
  if (target && target->protocol == Protocol::kTitan) {
    return Error{ErrorCode::kInvalid,
                 printable(target->url) + ": give a gemini:// or spartan:// URL; put is for Titan"};
  }
  return target;
}

Result<Answer> ask(const Target& target, ConnectOptions& manner, bool atHome,
                   const Invocation& invocation) {
  auto connection = connectTo(target, manner, atHome, invocation);
  if (!connection) return connection.error();
  if (const auto sent = connection->send(readingRequest(target)); !sent) return sent.error();
  return readAnswer(std::move(*connection), target.protocol, invocation);
}

Result<Target> follow(const Target& from, const Answer& answer, int redirects) {
  const std::string url = redirectTarget(from, answer);
  if (lowerCase(url.substr(0, url.find(':'))) != from.uri.scheme) {
    return Error{ErrorCode::kInvalid, "a redirect to another scheme is not followed"};
  }
  auto target = parsePage(url);
  if (!target) return target;
  if (from.protocol == Protocol::kSpartan &&
      (target->uri.host != from.uri.host || target->port != from.port)) {
    return Error{ErrorCode::kInvalid, "a Spartan redirect to another host is not followed"};
  }
  if (redirects == kMaxRedirects) {
    return Error{ErrorCode::kInvalid, fmt::format("{} redirects are enough", kMaxRedirects)};
  }
  return target;
}

}  // namespace

int getUrl(const Invocation& invocation) {
  auto target = parsePage(invocation.arguments.front());
  if (!target) return refuseLine(invocation, "get", target.error().message);
  for (const char* option : {"cert", "key", "trust"}) {
    if (target->protocol == Protocol::kSpartan && invocation.has(option)) {
      return refuseLine(invocation, "get", "Spartan knows no certificates");
    }
  }
  int exitCode = 0;
  auto manner = mannerOf(invocation, "get", *target, exitCode);
  if (!manner) return exitCode;
  const std::string host = target->uri.host;
  const std::uint16_t port = target->port;
  for (int redirects = 0;; ++redirects) {
    const bool atHome = target->uri.host == host && target->port == port;
    auto answer = ask(*target, *manner, atHome, invocation);
    if (!answer) return failExchange(invocation, answer.error());
    if (answer->line.kind != 3) return show(*answer, invocation);
    auto next = follow(*target, *answer, redirects);
    if (!next) {
      const int code = show(*answer, invocation);
      complain(invocation, next.error());
      return code;
    }
    target = std::move(next);
  }
}

}  // namespace egalaxyd::ctl
