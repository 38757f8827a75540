#include "load/stallers.h"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace egalaxyd::load {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kTickNs = kSecondNs / 10;
/// A server first fills the socket of one who does not read: work that is not the stalling itself.
constexpr std::uint64_t kSettleNs = 2 * kSecondNs;
constexpr int kSmallReceiveBuffer = 4096;
constexpr std::size_t kSipBytes = 4096;
constexpr std::uint64_t kSlowFinishNs = kSecondNs / 2;
/// Ten times a second: more than a server may demand.
constexpr std::size_t kUploadBytes = 200;

bool asksAtOnce(StallKind kind) { return kind == StallKind::kUnread || kind == StallKind::kSip; }
/// Says a ClientHello and looks at nothing that comes back.
bool onlyGreets(StallKind kind) {
  return kind == StallKind::kHello || kind == StallKind::kSlowFinish;
}

}  // namespace

struct Stallers::Staller {
  enum class State { kConnecting, kHandshake, kStalled };

  StallKind kind;
  Link link;
  State state = State::kConnecting;
  std::size_t sent = 0;
  std::uint64_t nextByte = 0;  ///< ns; kTrickle, kSlowFinish
};

Stallers::Stallers(const Options& options)
    : options_(options),
      context_(makeClientContext()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      halfHello_(halfClientHello(context_, options.stallTarget.host)),
      lid_(nowNs() + static_cast<std::uint64_t>(options.lid * 1e9)) {
  for (const Stall& stall : options.stalls) {
    for (int i = 0; i < stall.count; ++i) {
      stallers_.push_back(std::make_unique<Staller>());
      stallers_.back()->kind = stall.kind;
    }
  }
}

Stallers::~Stallers() = default;

void Stallers::prepare() {
  for (const auto& staller : stallers_) {
    if (!staller->link.isOpen()) open(*staller);  // a tick may have been first
    serveEvents(0);
  }
  const std::uint64_t until = std::min(lid_, nowNs() + 20 * kSecondNs);
  const auto stalled = [](const auto& staller) {
    return staller->state == Staller::State::kStalled;
  };
  while (!std::ranges::all_of(stallers_, stalled) && nowNs() < until) serveEvents(50);
  const std::uint64_t settled = nowNs() + kSettleNs;
  while (nowNs() < settled) serveEvents(50);
}

Report Stallers::run(int stopFd) {
  for (;;) {
    pollfd stop{stopFd, POLLIN, 0};
    if (poll(&stop, 1, 0) != 0 || nowNs() >= lid_) return std::move(report_);
    serveEvents(50);
  }
}

void Stallers::open(Staller& staller) {
  staller.state = Staller::State::kConnecting;
  staller.sent = 0;
  const int source =
      options_.stallSources > 0
          ? options_.sources + 1 + static_cast<int>(opened_++) % options_.stallSources
          : 0;
  staller.link.open(options_.stallTarget, epoll_, &staller, source,
                    asksAtOnce(staller.kind) ? kSmallReceiveBuffer : 0);
}

void Stallers::close(Staller& staller) {
  staller.link.close();
  ++report_.stallsClosed;
}

void Stallers::advance(Staller& staller) {
  const Target& target = options_.stallTarget;
  const bool speaks = staller.kind == StallKind::kTrickle || asksAtOnce(staller.kind);
  if (staller.state == Staller::State::kConnecting) {
    const Io io = staller.link.connected();
    if (io == Io::kWait) return;
    if (io != Io::kDone) return close(staller);
    staller.state = speaks ? Staller::State::kHandshake : Staller::State::kStalled;
    if (staller.kind == StallKind::kHalfHello) staller.link.write(halfHello_, staller.sent);
    const bool greets = onlyGreets(staller.kind);
    if ((speaks || greets) && target.wire == Wire::kGemini) {
      staller.link.startTls(context_, target.host);
    }
    if (greets) static_cast<void>(staller.link.handshake());
    if (staller.kind == StallKind::kSlowFinish) staller.nextByte = nowNs() + kSlowFinishNs;
    if (staller.kind == StallKind::kUpload) {
      staller.link.write(target.host + " /slow-upload 1000000\r\n", staller.sent);
    }
  }
  if (staller.state == Staller::State::kHandshake) {
    const Io io = target.wire == Wire::kGemini ? staller.link.handshake() : Io::kDone;
    if (io == Io::kWait) return;
    if (io != Io::kDone) return close(staller);
    if (asksAtOnce(staller.kind)) staller.link.write(target.requestLine, staller.sent);
    staller.state = Staller::State::kStalled;
    return;
  }
  if (asksAtOnce(staller.kind) || onlyGreets(staller.kind)) return;
  // Whatever the server sends to one who has not asked is its good-bye.
  std::array<char, 256> buffer;
  std::size_t got = 0;
  const Io io = staller.link.read(buffer.data(), buffer.size(), got);
  if (io != Io::kWait) close(staller);
}

void Stallers::serveEvents(int waitMs) {
  std::array<epoll_event, 512> events;
  const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), waitMs);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events.at(static_cast<std::size_t>(i));
    auto* staller = static_cast<Staller*>(event.data.ptr);
    if (!staller->link.isOpen()) continue;
    advance(*staller);
    const bool gone = (event.events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0;
    if (gone && staller->link.isOpen()) close(*staller);
  }
  if (nowNs() >= nextTick_) tick();
}

/// Replaces those that were closed, sends the tricklers' next bytes and lets the sippers read.
void Stallers::tick() {
  const std::uint64_t now = nowNs();
  nextTick_ = now + kTickNs;
  const std::string_view line = options_.stallTarget.requestLine;
  for (const auto& staller : stallers_) {
    if (!staller->link.isOpen()) {
      open(*staller);
    } else if (staller->kind == StallKind::kTrickle && now >= staller->nextByte &&
               staller->state == Staller::State::kStalled && staller->sent < line.size()) {
      std::size_t done = 0;
      staller->link.write(line.substr(staller->sent, 1), done);
      staller->sent += done;
      staller->nextByte = now + kSecondNs;
    } else if (staller->kind == StallKind::kSlowFinish && now >= staller->nextByte &&
               staller->state == Staller::State::kStalled) {
      if (staller->link.handshake() != Io::kWait) close(*staller);
    } else if (staller->kind == StallKind::kUpload && staller->state == Staller::State::kStalled) {
      std::size_t done = 0;
      if (staller->link.write(std::string(kUploadBytes, 'x'), done) == Io::kFailed) close(*staller);
    } else if (staller->kind == StallKind::kSip && staller->state == Staller::State::kStalled) {
      std::array<char, kSipBytes> buffer;
      std::size_t got = 0;
      const Io io = staller->link.read(buffer.data(), buffer.size(), got);
      if (io != Io::kDone && io != Io::kWait) close(*staller);
    }
  }
}

}  // namespace egalaxyd::load
