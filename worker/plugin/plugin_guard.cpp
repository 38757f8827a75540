#include "worker/plugin/plugin_guard.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <optional>

#include "common/log.h"

namespace egalaxyd {
namespace {

class GuardedBody final : public BodySource {
 public:
  GuardedBody(std::unique_ptr<BodySource> body, std::string name)
      : body_(std::move(body)), name_(std::move(name)) {
    body_->onWake([this] { wake(); });
  }

  BodyChunk pull(std::span<char> scratch) override {
    auto chunk = contained(name_, [&] { return body_->pull(scratch); });
    if (chunk) return *chunk;
    spdlog::error("{}; the body ends here", logQuote(chunk.error().message));
    return {BodyChunk::State::kFailed, {}};
  }

 private:
  const std::unique_ptr<BodySource> body_;
  const std::string name_;
};

/// The answer that a site owes, in the guard's hands until it is given.
class Owed {
 public:
  Owed(Responder reply, const std::string& name) : reply_(std::move(reply)), name_(name) {}

  /// What the site's own responder does; nothing once the answer was given.
  void deliver(std::optional<Response> response) {
    if (!reply_) return;
    if (!response && handling_) {
      dropped_ = true;  // by an exception on its way to the guard, or on purpose
      return;
    }
    Responder reply = take();
    if (!response) return;
    if (response->body) {
      response->body = std::make_unique<GuardedBody>(std::move(response->body), name_);
    }
    std::move(reply).send(std::move(*response));
  }

  void handled() {
    handling_ = false;
    if (dropped_ && reply_) take();
  }

  /// Whether there was no answer yet.
  bool failed() {
    if (!reply_) return false;
    Responder reply = take();
    std::move(reply).send(Response::failure(Status::kCgiError, "No answer"));
    return true;
  }

 private:
  Responder take() {
    Responder reply = std::move(*reply_);
    reply_.reset();
    return reply;
  }

  std::optional<Responder> reply_;
  const std::string name_;  ///< the answer may come when the site is gone
  bool handling_ = true;    ///< the site's handle() is on the stack
  bool dropped_ = false;
};

}  // namespace

void GuardedSite::handle(Request request, Responder reply, Services& services) {
  const auto owed = std::make_shared<Owed>(std::move(reply), name_);
  const auto handled = contained(name_, [&] {
    site_->handle(std::move(request), Responder([owed](std::optional<Response> response) {
                    owed->deliver(std::move(response));
                  }),
                  services);
  });
  if (handled) return owed->handled();
  const bool told = owed->failed();
  spdlog::error("{}; the client {}", logQuote(handled.error().message),
                told ? "got 42" : "had its answer already");
}

Takes GuardedSite::takes(std::string_view sitePath) const {
  const auto taken = contained(name_, [&] { return site_->takes(sitePath); });
  return taken ? *taken : Takes::kNothing;
}

bool GuardedSite::hidesQuery(std::string_view sitePath) const {
  const auto hides = contained(name_, [&] { return site_->hidesQuery(sitePath); });
  return !hides || *hides;
}

bool GuardedRouter::serves(std::string_view host) const {
  const auto serves = contained(name_, [&] { return router_->serves(host); });
  if (serves) return *serves;
  errors_.log(serves.error());
  return true;  // so that the request comes to its 42
}

PathMap::Match GuardedRouter::find(std::string_view host, std::string_view path) const {
  const auto found = contained(name_, [&] { return router_->find(host, path); });
  if (!found) {
    errors_.log(found.error());
    return {&failed_, 0};
  }
  if (found->site == nullptr) return {};
  auto& guard = sites_[found->site];
  if (!guard) {
    guard = std::make_unique<GuardedSite>(std::shared_ptr<Site>(router_, found->site), name_);
  }
  return {guard.get(), std::min(found->mountLength, path.size())};
}

std::optional<std::chrono::seconds> GuardedRateLimiter::count(const IpAddress& client) {
  const auto wait = contained(name_, [&] { return limiter_->count(client); });
  if (!wait) {
    errors_.log(wait.error());
    return std::nullopt;
  }
  if (!*wait) return std::nullopt;
  return std::max(**wait, std::chrono::seconds(1));
}

}  // namespace egalaxyd
