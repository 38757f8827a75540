#include "worker/dynamic/capsule_handshake.h"

#include <spdlog/fmt/fmt.h>

#include <chrono>

#include "common/loop/event_loop.h"
#include "worker/base/alarm.h"
#include "worker/dynamic/programs.h"

namespace egalaxyd {
namespace {

DialledStream::State goOn(DialledStream& stream, std::string& header) {
  while (!header.empty()) {
    const auto moved = stream.sendPlain(header);
    if (moved.state != DialledStream::State::kDone) return moved.state;
    header.erase(0, moved.bytes);
  }
  return stream.handshake();
}

}  // namespace

Task<Result<void>> shakeHands(DialledStream& stream, std::string header, milliseconds patience,
                              const Upstreams::Caller& caller, Services& services) {
  Alarm alarm(services.loop);
  const Programs::Waiting waiting(services.programs, alarm);
  bool late = false;
  Timer deadline(services.loop, [&] {
    late = true;
    alarm.ring();
  });
  deadline.setAfter(patience);
  Watch watch(services.loop, [&alarm](IoEvents) { alarm.ring(); });
  if (auto watched = watch.start(stream.fd(), WatchMode::kEdge); !watched) co_return watched;
  watch.wantRoom();
  if (!caller.goesOn) caller.cancellation->onRequest([&alarm] { alarm.ring(); });
  auto state = DialledStream::State::kBlocked;
  for (;;) {
    state = goOn(stream, header);
    const bool unwanted =
        (!caller.goesOn && caller.cancellation->requested()) || services.programs.isStopped();
    if (state != DialledStream::State::kBlocked || late || unwanted) break;
    static_cast<void>(co_await alarm.wait());
  }
  caller.cancellation->onRequest({});
  if (state == DialledStream::State::kDone) co_return Result<void>();
  if (state == DialledStream::State::kFailed) co_return Error{ErrorCode::kIo, stream.fault()};
  co_return Error{ErrorCode::kIo, fmt::format("no TLS handshake within {:g} s (connect_timeout)",
                                              std::chrono::duration<double>(patience).count())};
}

}  // namespace egalaxyd
