// A worker whose launcher is the test, which connects it to applications and capsules: the other
// ends are the test's, too.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/shared/script_names.h"
#include "tests/support/captured_log.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/worker/dynamic/fake_launcher.h"
#include "tests/unit/worker/module/site_harness.h"
#include "worker/dynamic/programs.h"

namespace egalaxyd {

class UpstreamLab {
 public:
  /// What becomes of a request.
  struct Visit {
    std::shared_ptr<Cancellation> cancellation = std::make_shared<Cancellation>();
    bool answered = false;
    std::optional<Response> response;
  };
  using Visitor = std::shared_ptr<Visit>;

  UpstreamLab() {
    dir_.makeDir(std::string("state/") + kSpoolFolder);
    Config config;
    config.server.stateDir = dir_ / "state";
    std::vector<UniqueFd> channels;
    channels.push_back(launcher.connect());
    programs_.emplace(harness.loop(), harness.shared(), 0, config, 7, std::move(channels));
    services_.emplace(Services{harness.loop(), harness.services().tasks, harness.pool(),
                               harness.services().users, harness.services().uploads, *programs_,
                               harness.services().info});
  }
  /// Sites must live until this has ended their tasks.
  ~UpstreamLab() {
    launcher.close();
    harness.turnUntil([&] { return harness.services().tasks.running() == 0; });
  }
  UpstreamLab(const UpstreamLab&) = delete;
  UpstreamLab& operator=(const UpstreamLab&) = delete;

  Services& services() { return *services_; }
  void loseLauncher() { programs_->connect(0, {}); }

  static Request get(std::string path, std::string_view mount) {
    Request request = requestFor(std::move(path), mount);
    request.url = "gemini://example.org" + request.path;
    return request;
  }
  /// Of `bytes`, which come at once.
  static Request put(std::string path, std::string_view mount, std::string bytes) {
    Request request = get(std::move(path), mount);
    request.protocol = Protocol::kTitan;
    request.upload = UploadLine{};
    request.upload->size = bytes.size();
    request.url = "titan://example.org" + request.path + ";size=" + std::to_string(bytes.size());
    auto self = std::make_shared<std::weak_ptr<RequestBody>>();
    auto body = std::make_shared<RequestBody>(bytes.size(), [self, bytes]() mutable {
      if (const auto own = self->lock()) own->give(std::exchange(bytes, ""));
    });
    *self = body;
    request.body = std::move(body);
    return request;
  }

  /// `handle(request, reply)`.
  template <class Handle>
  Visitor visit(Request request, Handle handle) {
    auto visit = std::make_shared<Visit>();
    request.cancellation = visit->cancellation;
    handle(std::move(request), Responder([visit](std::optional<Response> response) {
             visit->answered = true;
             visit->response = std::move(response);
           }));
    return visit;
  }
  Visitor ask(Site& site, Request request) {
    return visit(std::move(request), [&](Request asked, Responder reply) {
      site.handle(std::move(asked), std::move(reply), services());
    });
  }

  /// What the launcher is asked to connect to.
  DialUpstream dialOrder() {
    harness.turnUntil([&] { return launcher.wasAsked(); });
    const auto order = launcher.asked<DialUpstream>();
    EXPECT_TRUE(order);
    return order.value_or(DialUpstream());
  }
  /// Connects it; the other end.
  UniqueFd connect() {
    const DialUpstream order = dialOrder();
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd theirs(ends[1]);
    launcher.say(encode(Dialled{order.run}), {theirs.get()});
    return UniqueFd(ends[0]);
  }
  void refuse(WhyNot why) { launcher.say(NotStarted{dialOrder().run, why, "so it is"}); }

  /// What has been said at that end, when it ends so.
  std::string heard(const UniqueFd& end, std::string_view last) {
    std::string all;
    harness.turnUntil([&] {
      std::array<char, 4096> room;
      const ssize_t got = ::recv(end.get(), room.data(), room.size(), MSG_DONTWAIT);
      if (got > 0) all.append(room.data(), static_cast<std::size_t>(got));
      return all.ends_with(last);
    });
    return all;
  }

  /// "20 text/plain", or "none".
  std::string header(const Visitor& visit) {
    harness.turnUntil([&] { return visit->answered; });
    if (!visit->response) return "none";
    return std::to_string(static_cast<int>(visit->response->status)) + " " + visit->response->meta;
  }
  /// After header().
  std::string page(const Visitor& visit) {
    std::string text;
    EXPECT_TRUE(harness.readBody(*visit->response->body, text));
    return text;
  }

  FakeLauncher launcher;
  SiteHarness harness;

 private:
  const TempDir dir_;
  const CapturedLog log_;
  std::optional<Programs> programs_;
  std::optional<Services> services_;
};

}  // namespace egalaxyd
