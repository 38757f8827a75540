// Classes that do what they should, and some that do not.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

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

/// Misbehaves as the path says.
class Clumsy final : public SitePlugin {
 public:
  void handle(Request request, Responder reply, Services&) override {
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
    if (deed == "/body") {
      return std::move(reply).send(Response::success("text/plain", std::make_unique<BadBody>()));
    }
    std::move(reply).send(Response::notFound());
  }
  bool hidesQuery(std::string_view) const override { throw std::runtime_error("cannot say"); }

 private:
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
POCO_END_MANIFEST
