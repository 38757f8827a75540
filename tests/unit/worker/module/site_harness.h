// Asks a site as a worker does, and reads the answer to its end.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/limits.h"
#include "common/config/config.h"
#include "common/loop/event_loop.h"
#include "common/shared/shared_state.h"
#include "tests/support/deadline.h"
#include "tests/support/memory_storage.h"
#include "worker/base/lane.h"
#include "worker/base/storage_lane.h"
#include "worker/dynamic/programs.h"
#include "worker/route/router.h"
#include "worker/site/site.h"
#include "worker/upload/uploads.h"

namespace egalaxyd {

/// A request to a site that is mounted at `mount`.
inline Request requestFor(std::string path, std::string_view mount = "/") {
  Request request;
  request.host = "example.org";
  request.port = kGeminiPort;
  request.path = std::move(path);
  request.mountLength = mount == "/" ? 0 : mount.size();
  return request;
}

/// A router that knows `site` alone: all of h.test.
inline std::shared_ptr<const SiteMap> mapOf(std::shared_ptr<Site> site) {
  auto paths = std::make_shared<PathMap>();
  paths->add("/", std::move(site));
  HostMap<std::shared_ptr<PathMap>> hosts;
  hosts.add("h.test", paths);
  return std::make_shared<const SiteMap>(std::move(hosts));
}

/// What became of a response.
struct Answer {
  int status = 0;  ///< 0: the responder was dropped
  std::string meta;
  std::string body;
  bool complete = true;  ///< false: the body ended in kFailed

  std::string header() const { return std::to_string(status) + " " + meta; }
};

class SiteHarness {
 public:
  explicit SiteHarness(std::size_t queueLimit = 8) : SiteHarness(openMemory, queueLimit) {}
  /// With a storage of the test's choice.
  explicit SiteHarness(std::function<Result<std::unique_ptr<Storage>>()> open,
                       std::size_t queueLimit = 8, std::unique_ptr<DatabaseLink> link = nullptr)
      : teller_(link ? std::make_unique<ChangeTeller>(loop_, std::move(link)) : nullptr),
        pool_(loop_, {"files", 1, queueLimit}),
        storage_(loop_, [open = std::move(open)](std::size_t) { return open(); },
                 {.beforeCommit = [this] { return folders_.sync(); }}) {}

  EventLoop& loop() { return loop_; }
  Lane& pool() { return pool_; }
  Services& services() { return services_; }
  StorageLane& storage() { return storage_; }
  SharedState& shared() { return *shared_; }
  LimitsConfig& limits() { return limits_; }

  /// What an operation of Users, or another, gives.
  template <class T>
  T await(Async<T> operation) {
    std::optional<T> result;
    std::move(operation).then([&](T answer) {
      result.emplace(std::move(answer));
      loop_.stop();
    });
    while (!result) loop_.run();
    return std::move(*result);
  }

  /// One turn of the loop.
  void turn() {
    loop_.post([this] { loop_.stop(); });
    loop_.run();
  }

  /// Turns until `isSo()`; the test fails when that takes too long.
  template <class IsSo>
  void turnUntil(IsSo isSo) {
    const Deadline deadline;
    while (!isSo()) {
      ASSERT_FALSE(deadline.passed()) << "what the test waits for does not come";
      turn();
    }
  }

  /// The response itself; nullopt when the responder was dropped.
  std::optional<Response> respond(Site& site, Request request) {
    bool answered = false;
    std::optional<Response> response;
    site.handle(std::move(request), Responder([&](std::optional<Response> answer) {
                  response = std::move(answer);
                  answered = true;
                  loop_.stop();
                }),
                services_);
    while (!answered) loop_.run();
    return response;
  }

  Answer ask(Site& site, Request request) {
    auto response = respond(site, std::move(request));
    if (!response) return {};
    Answer answer{static_cast<int>(response->status), response->meta, {}};
    if (response->body) answer.complete = readBody(*response->body, answer.body);
    return answer;
  }

  /// Appends to `text`; whether the body reached its end.
  bool readBody(BodySource& body, std::string& text) {
    std::array<char, kBodyChunk> scratch;
    bool awake = false;
    body.onWake([&] {
      awake = true;
      loop_.stop();
    });
    for (;;) {
      const BodyChunk chunk = body.pull(scratch);
      text.append(chunk.bytes);
      switch (chunk.state) {
        case BodyChunk::State::kMore:
          break;
        case BodyChunk::State::kEnd:
          return true;
        case BodyChunk::State::kFailed:
          return false;
        case BodyChunk::State::kLater:
          awake = false;
          while (!awake) loop_.run();
      }
    }
  }

  /// Keeps the pool's only thread busy until release(), so that what is submitted now waits.
  class Jam {
   public:
    explicit Jam(Lane& pool) {
      auto begun = std::make_shared<std::promise<void>>();
      auto running = begun->get_future();
      pool.submit(
          [begun, gate = gate_.get_future().share()] {
            begun->set_value();
            gate.wait();
            return Result<void>();
          },
          [](Result<void>) {});
      running.wait();
    }
    ~Jam() { release(); }
    void release() {
      if (!std::exchange(released_, true)) gate_.set_value();
    }

   private:
    std::promise<void> gate_;
    bool released_ = false;
  };

 private:
  static Result<std::unique_ptr<Storage>> openMemory() { return makeMemoryStorage(); }

  std::unique_ptr<SharedState> shared_ = std::move(SharedState::create()).value();
  EventLoop loop_;
  Tasks tasks_;
  const std::unique_ptr<ChangeTeller> teller_;  ///< nullptr: files hold the content of uploads
  Lane pool_;
  FolderSync folders_;  // the storage lane uses it to the end
  StorageLane storage_;
  Users users_{storage_};
  Uploads uploads_{loop_, tasks_, storage_,     folders_, shared_->slot(0), AddressMask::kFull,
                   1,     "/",    teller_.get()};
  LimitsConfig limits_;
  ServerInfo info_{.worker = 1,
                   .workers = 4,
                   .generation = 3,
                   .workerStarted = std::chrono::system_clock::now() - std::chrono::hours(25),
                   .shared = *shared_,
                   .limits = limits_};
  Programs programs_{loop_, *shared_, 0, Config(), 1, {}};
  Services services_{loop_, tasks_, pool_, users_, uploads_, programs_, info_};
};

}  // namespace egalaxyd
