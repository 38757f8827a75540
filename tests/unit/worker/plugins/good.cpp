// Classes that do what they should, and some that do not.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "worker/plugin/plugin.h"

namespace {

using namespace egalaxyd;

/// args: greeting
class Greeter final : public SitePlugin {
 public:
  Result<void> configure(const PluginArguments& arguments) override {
    for (const auto& [key, value] : arguments) {
      if (key != "greeting") return Error{ErrorCode::kInvalid, "no \"" + key + "\" is wanted"};
      greeting_ = value;
    }
    return {};
  }
  void handle(Request, Responder reply, Services&) override {
    std::move(reply).send(Response::gemtext(greeting_));
  }

 private:
  std::string greeting_ = "Hello";
};

class BadBody final : public BodySource {
 public:
  BodyChunk pull(std::span<char>) override {
    if (pulled_) throw std::runtime_error("the body broke");
    pulled_ = true;
    return {BodyChunk::State::kMore, "begun"};
  }

 private:
  bool pulled_ = false;
};

/// Gives the same chunk again and again.
class SameChunk final : public BodySource {
 public:
  SameChunk(int state, std::string_view bytes)
      : chunk_{static_cast<BodyChunk::State>(state), bytes} {}
  BodyChunk pull(std::span<char>) override { return chunk_; }

 private:
  const BodyChunk chunk_;
};

/// Has its bytes by the time that it says it will have them.
class HastyBody final : public BodySource {
 public:
  BodyChunk pull(std::span<char>) override {
    if (std::exchange(woken_, true)) return {BodyChunk::State::kEnd, "soon"};
    wake();
    wake();
    return {BodyChunk::State::kLater, {}};
  }

 private:
  bool woken_ = false;
};

/// Says where in the scratch buffer it likes its bytes.
class ShiftedBody final : public BodySource {
 public:
  BodyChunk pull(std::span<char> scratch) override {
    const std::string_view text = "abcdefghijklmnopqrstuvwxyz";
    text.copy(scratch.data() + 3, text.size());
    return {BodyChunk::State::kEnd, {scratch.data() + 3, text.size()}};
  }
};

std::unique_ptr<BodySource> bodyNamed(std::string_view name) {
  static const std::string large(200'000, 'x');
  if (name == "/too-much") return std::make_unique<SameChunk>(1, large);
  if (name == "/more-of-nothing") return std::make_unique<SameChunk>(0, "");
  if (name == "/later-with-bytes") return std::make_unique<SameChunk>(2, "x");
  if (name == "/no-state") return std::make_unique<SameChunk>(77, "x");
  if (name == "/hasty") return std::make_unique<HastyBody>();
  if (name == "/shifted") return std::make_unique<ShiftedBody>();
  return std::make_unique<BadBody>();
}

/// Misbehaves as the path says.
class Clumsy final : public SitePlugin {
 public:
  void handle(Request request, Responder reply, Services& services) override {
    const std::string deed(request.sitePath());
    if (deed == "/drop") return;
    if (deed == "/abort") std::abort();
    if (deed == "/throw") throw std::runtime_error("stumbled\nover this");
    if (deed == "/throw-int") throw 7;
    if (deed == "/keep-and-throw") {
      kept_ = std::make_unique<Responder>(std::move(reply));
      throw std::runtime_error("stumbled with the answer in the hand");
    }
    if (deed == "/answer-and-throw") {
      std::move(reply).send(Response::gemtext("in time"));
      throw std::runtime_error("stumbled afterwards");
    }
    if (deed == "/kept") {
      if (kept_) std::move(*kept_).send(Response::gemtext("late"));
      return std::move(reply).send(Response::gemtext("sent"));
    }
    if (deed.starts_with("/body")) {
      return std::move(reply).send(Response::success("text/plain", bodyNamed(deed.substr(5))));
    }
    if (deed == "/throw-later") {
      return services.loop.post([reply = std::move(reply)] { throw std::runtime_error("late"); });
    }
    if (deed == "/throw-in-the-pool") {
      return services.pool.submit([]() -> Result<int> { throw 7; },
                                  [reply = std::move(reply)](Result<int>) {});
    }
    if (deed == "/throw-behind-the-pool") {
      return services.pool.submit(
          [] { return Result<int>(7); },
          [reply = std::move(reply)](Result<int> number) { throw *number; });
    }
    if (deed == "/answer-twice") {
      const auto answer = [&](std::string text) {
        std::move(reply).send(Response::gemtext(std::move(text)));
      };
      answer("once");
      return answer("twice");
    }
    if (deed == "/no-status")
      return std::move(reply).send({static_cast<Status>(7777), "", nullptr});
    if (deed == "/long-meta") {
      return std::move(reply).send(
          {Status::kNotFound, std::string(2048, 'm') + "\r\n20 text/gemini", nullptr});
    }
    if (deed == "/split-meta") {
      return std::move(reply).send({Status::kSuccess, "text/plain\r\n# Mine", nullptr});
    }
    if (deed == "/no-body") return std::move(reply).send(Response::success("text/plain", nullptr));
    if (deed == "/other-thread") {
      std::thread([reply = std::move(reply)]() mutable {
        std::move(reply).send(Response::gemtext("from elsewhere"));
      }).detach();
      return;
    }
    if (deed == "/drop-elsewhere") {
      std::thread([reply = std::move(reply)] {}).detach();
      return;
    }
    if (deed == "/read-and-throw") {
      return request.body->read([reply = std::move(reply)](Result<std::string>) {
        throw std::runtime_error("stumbled over the bytes");
      });
    }
    if (deed == "/read") return readOn(request.body, std::move(reply), std::make_shared<Read>());
    if (deed == "/read-forever") return readForever(request.body, std::move(reply));
    std::move(reply).send(Response::notFound());
  }
  AcceptedBody takes(std::string_view path) const override {
    if (path == "/takes-what-there-is-not") return static_cast<AcceptedBody>(9);
    return path.starts_with("/read") ? AcceptedBody::kUploads : AcceptedBody::kInput;
  }
  bool hidesQuery(std::string_view) const override { throw std::runtime_error("cannot say"); }
  bool takesEncodedSlash(std::string_view) const override {
    throw std::runtime_error("cannot say");
  }

 private:
  struct Read {
    std::size_t bytes = 0;
    int depth = 0;
    int deepest = 0;
  };
  static void readOn(std::shared_ptr<RequestBody> body, Responder reply,
                     std::shared_ptr<Read> read) {
    RequestBody& from = *body;
    from.read([body, read, reply = std::move(reply)](Result<std::string> bytes) mutable {
      read->deepest = std::max(read->deepest, ++read->depth);
      read->bytes += bytes ? bytes->size() : 0;
      const bool ended = !bytes || bytes->empty();
      if (!ended) {
        readOn(std::move(body), std::move(reply), read);
        --read->depth;
        return;
      }
      --read->depth;
      std::move(reply).send(Response::gemtext(std::to_string(read->bytes) + " bytes, depth " +
                                              std::to_string(read->deepest)));
    });
  }
  static void readForever(std::shared_ptr<RequestBody> body, Responder reply) {
    RequestBody& from = *body;
    from.read([body, reply = std::move(reply)](Result<std::string>) mutable {
      readForever(std::move(body), std::move(reply));
    });
  }

  std::unique_ptr<Responder> kept_;
};

class Unborn final : public SitePlugin {
 public:
  Unborn() { throw std::runtime_error("not today"); }
  void handle(Request, Responder, Services&) override {}
};

/// args: for. Takes as long to make as that file is missing.
class Patient final : public SitePlugin {
 public:
  Result<void> configure(const PluginArguments& arguments) override {
    while (!std::filesystem::exists(arguments.at("for"))) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return {};
  }
  void handle(Request, Responder reply, Services&) override {
    std::move(reply).send(Response::gemtext("at last"));
  }
};

/// Serves "plain", and "clumsy" clumsily; stumbles over "broken".
class OwnRouter final : public Router {
 public:
  bool serves(std::string_view host) const override {
    if (host == "broken") throw 1;
    return host == "plain" || host == "clumsy";
  }
  PathMap::Match find(std::string_view host, std::string_view) const override {
    if (host == "broken") throw std::runtime_error("lost");
    if (host == "plain") return {&greeter_, 1000};
    return {&clumsy_, 0};
  }

 private:
  mutable Greeter greeter_;
  mutable Clumsy clumsy_;
};

class Never final : public RateLimiter {
 public:
  std::optional<std::chrono::seconds> count(const IpAddress&) override {
    return std::chrono::seconds(-5);
  }
};

class Forever final : public RateLimiter {
 public:
  std::optional<std::chrono::seconds> count(const IpAddress&) override {
    return std::chrono::seconds::max();
  }
};

class Stumbling final : public RateLimiter {
 public:
  std::optional<std::chrono::seconds> count(const IpAddress&) override { throw 1; }
};

}  // namespace

EGALAXYD_PLUGIN

EGALAXYD_BEGIN_SITES
POCO_EXPORT_CLASS(Greeter)
POCO_EXPORT_CLASS(Clumsy)
POCO_EXPORT_CLASS(Unborn)
POCO_EXPORT_CLASS(Patient)
POCO_END_MANIFEST

EGALAXYD_BEGIN_ROUTERS
POCO_EXPORT_CLASS(OwnRouter)
POCO_END_MANIFEST

EGALAXYD_BEGIN_RATE_LIMITERS
POCO_EXPORT_CLASS(Never)
POCO_EXPORT_CLASS(Stumbling)
POCO_EXPORT_CLASS(Forever)
POCO_END_MANIFEST
