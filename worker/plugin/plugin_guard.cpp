#include "worker/plugin/plugin_guard.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "common/config/people.h"
#include "common/system/log.h"

namespace egalaxyd {
namespace {

Response noAnswer() { return Response::failure(Status::kCgiError, "No answer"); }

/// The longest wait that a client may be told.
constexpr auto kLongestWait = std::chrono::hours(24);

/// A plug-in's body; enforces what BodySource promises.
class GuardedBody final : public BodySource {
 public:
  GuardedBody(std::unique_ptr<BodySource> body, std::string name, EventLoop& loop)
      : body_(std::move(body)), name_(std::move(name)) {
    // Posted, since it may be called within pull(), or on another thread.
    body_->onWake([&loop, self = self_] {
      loop.post([self] {
        if (*self != nullptr) (*self)->onWoken();
      });
    });
  }
  ~GuardedBody() override { *self_ = nullptr; }

  BodyChunk pull(std::span<char> scratch) override {
    auto chunk = contained(name_, [&] { return body_->pull(scratch); });
    if (!chunk) return fail(chunk.error().message);
    if (const auto fault = faultOf(*chunk, scratch.size())) return fail(name_ + ": " + *fault);
    isAwaited_ = chunk->state == BodyChunk::State::kLater;
    return *chunk;
  }

 private:
  static std::optional<std::string> faultOf(const BodyChunk& chunk, std::size_t most) {
    const std::size_t size = chunk.bytes.size();
    if (size > most) return fmt::format("gave {} bytes where {} were the most", size, most);
    if (size > 0 && chunk.bytes.data() == nullptr) return "gave a null pointer for its bytes";
    switch (chunk.state) {
      case BodyChunk::State::kMore:
        if (size == 0) return "gave kMore without a byte; to wait it must give kLater";
        return std::nullopt;
      case BodyChunk::State::kLater:
        if (size > 0) return "gave kLater with bytes; with bytes it must give kMore";
        return std::nullopt;
      case BodyChunk::State::kEnd:
      case BodyChunk::State::kFailed:
        return std::nullopt;
    }
    return fmt::format("gave the unknown state {}", static_cast<int>(chunk.state));
  }

  BodyChunk fail(const std::string& why) {
    spdlog::error("{}; the body ends here", logQuote(why));
    return {BodyChunk::State::kFailed, {}};
  }

  /// Passes a wake on only after kLater: otherwise nobody waits, and a pull() would be unexpected.
  void onWoken() {
    if (std::exchange(isAwaited_, false)) wake();
  }

  /// Loop thread only; nullptr once this is gone.
  const std::shared_ptr<GuardedBody*> self_ = std::make_shared<GuardedBody*>(this);
  const std::unique_ptr<BodySource> body_;
  const std::string name_;
  bool isAwaited_ = false;  ///< its last state was kLater
};

/// Holds the responder until the site has given its answer.
class Owed : public std::enable_shared_from_this<Owed> {
 public:
  Owed(Responder reply, const std::string& name, EventLoop& loop)
      : reply_(std::move(reply)), name_(name), loop_(loop) {}

  /// Called by the site's own responder, on any thread; does nothing once the answer was given.
  void deliver(std::optional<Response> response) {
    if (std::this_thread::get_id() == thread_) return take(std::move(response));
    loop_.post([self = shared_from_this(), response = std::move(response)]() mutable {
      self->take(std::move(response));
    });
  }

  void handled() {
    handling_ = false;
    if (dropped_ && reply_) giveBack();
  }

  /// Answers 42; returns false if there was an answer already.
  bool failed() {
    if (!reply_) return false;
    Responder reply = giveBack();
    std::move(reply).send(noAnswer());
    return true;
  }

  /// Called when the site has thrown.
  void failed(const Error& error) {
    const bool told = failed();
    spdlog::error("{}; the client {}", logQuote(error.message),
                  told ? "got 42" : "had its answer already");
  }

  const std::string& name() const { return name_; }

 private:
  void take(std::optional<Response> response) {
    if (!reply_) return;
    if (!response && handling_) {
      dropped_ = true;  // on purpose, or while an exception is on its way to the guard
      return;
    }
    Responder reply = giveBack();
    if (!response) return;
    if (response->body) {
      response->body = std::make_unique<GuardedBody>(std::move(response->body), name_, loop_);
    }
    std::move(reply).send(std::move(*response));
  }

  Responder giveBack() {
    Responder reply = std::move(*reply_);
    reply_.reset();
    return reply;
  }

  std::optional<Responder> reply_;
  const std::string name_;  ///< copied, since the answer may come when the site is gone
  EventLoop& loop_;
  const std::thread::id thread_ = std::this_thread::get_id();  ///< the loop's
  bool handling_ = true;                                       ///< handle() has not returned yet
  bool dropped_ = false;
};

/// Reads from `body` and gives the bytes to `site`, from which the site reads, for as long as it
/// wants more.
void readFor(const std::shared_ptr<RequestBody>& site, const std::shared_ptr<RequestBody>& body,
             const std::shared_ptr<Owed>& owed) {
  body->read([site, body, owed](Result<std::string> bytes) {
    const auto given = contained(owed->name(), [&] {
      if (site->isWanted()) site->give(std::move(bytes));
    });
    if (!given) return owed->failed(given.error());
    if (site->isWanted()) readFor(site, body, owed);
  });
}

/// A body that the site reads from in place of `body`.
std::shared_ptr<RequestBody> guardedBody(const std::shared_ptr<RequestBody>& body,
                                         const std::shared_ptr<Owed>& owed) {
  const auto site = std::make_shared<std::weak_ptr<RequestBody>>();
  auto guarded = std::make_shared<RequestBody>(
      body->size(), [site, body, owed] { readFor(site->lock(), body, owed); });
  *site = guarded;
  return guarded;
}

}  // namespace

void GuardedSite::handle(Request request, Responder reply, Services& services) {
  const auto owed = std::make_shared<Owed>(std::move(reply), name_, services.loop);
  if (request.body) request.body = guardedBody(request.body, owed);
  const auto handled = contained(name_, [&] {
    site_->handle(std::move(request), Responder([owed](std::optional<Response> response) {
                    owed->deliver(std::move(response));
                  }),
                  services);
  });
  if (!handled) return owed->failed(handled.error());
  owed->handled();
}

AcceptedBody GuardedSite::takes(std::string_view sitePath) const {
  const auto taken = contained(name_, [&] { return site_->takes(sitePath); });
  if (!taken || *taken < AcceptedBody::kNothing || *taken > AcceptedBody::kUploads)
    return AcceptedBody::kNothing;
  return *taken;
}

UploadRight GuardedSite::uploadRight(const Request& request, std::string_view sitePath) const {
  const auto right = contained(name_, [&] { return site_->uploadRight(request, sitePath); });
  return right ? *right : UploadRight::kNone;
}

std::string_view GuardedSite::tokenName(const Request& request, std::string_view sitePath) const {
  const auto name = contained(name_, [&] { return site_->tokenName(request, sitePath); });
  return name && isName(*name) ? *name : std::string_view();
}

bool GuardedSite::takesEncodedSlash(std::string_view sitePath) const {
  const auto takes = contained(name_, [&] { return site_->takesEncodedSlash(sitePath); });
  return takes && *takes;
}

bool GuardedSite::hidesQuery(std::string_view sitePath) const {
  const auto hides = contained(name_, [&] { return site_->hidesQuery(sitePath); });
  return !hides || *hides;
}

void FailedSite::handle(Request, Responder reply, Services&) { std::move(reply).send(noAnswer()); }

bool GuardedRouter::serves(std::string_view host) const {
  const auto serves = contained(name_, [&] { return router_->serves(host); });
  if (serves) return *serves;
  errors_.log(serves.error());
  return true;  // so that find() is called, which answers 42
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
  return std::clamp<std::chrono::seconds>(**wait, std::chrono::seconds(1), kLongestWait);
}

void GuardedRateLimiter::giveBack(const IpAddress& client) {
  const auto given = contained(name_, [&] { limiter_->giveBack(client); });
  if (!given) errors_.log(given.error());
}

}  // namespace egalaxyd
