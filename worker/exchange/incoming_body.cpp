#include "worker/exchange/incoming_body.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "worker/exchange/scratch.h"

namespace egalaxyd {
namespace {

/// After this many small reads in a row, a body is read only when kDrip bytes have come, or once a
/// second: each read costs a message to an upload thread and a write.
constexpr std::size_t kDrip = 4096;
constexpr int kDripsInARow = 8;
constexpr auto kDripRest = std::chrono::seconds(1);

}  // namespace

void acknowledgeNow(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

IncomingBody::IncomingBody(const ExchangeContext& context, ExchangeOwner& owner,
                           Transport& transport, Pace& pace, std::uint64_t size,
                           std::string_view behind, bool surplusIsError,
                           UniqueFunction<void()> onLeft)
    : context_(context),
      owner_(owner),
      transport_(transport),
      pace_(pace),
      surplusIsError_(surplusIsError),
      onLeft_(std::move(onLeft)),
      body_(std::make_shared<RequestBody>(size, [this] { onWanted(); })),
      behind_(behind),
      left_(size),
      given_(Clock::now()) {
  deadline_ = given_ + context.limits.uploadTimeout;
}

/// Time in which the site wanted nothing does not count against the client.
void IncomingBody::onWanted() {
  if (ended_) return;
  deadline_ += Clock::now() - given_;
  receive();
}

void IncomingBody::receive() {
  while (isWanted()) {
    if (restsUntil_) return await();
    auto bytes = next();
    if (!bytes) return await();
    if (!*bytes) return fail(std::move(*bytes).error());
    owner_.setDeadline(context_.timeOfSite());
    given_ = Clock::now();
    drips_ = (*bytes)->size() < kDrip ? drips_ + 1 : 0;
    restBetweenDrips();
    pace_.rest(given_);
    body_->give(std::move(*bytes));
  }
}

/// The next bytes; "" at the end; nullopt if they have not come yet.
std::optional<Result<std::string>> IncomingBody::next() {
  std::string bytes = std::exchange(behind_, {});
  IoResult result{IoStatus::kDone};
  while (bytes.size() <= left_ && bytes.size() < kRequestBodyChunk) {
    result = transport_.read(scratch);
    if (result.status != IoStatus::kDone) break;
    context_.counters.add(Counter::kBytesIn, result.bytes);
    bytes.append(scratch.data(), result.bytes);
  }
  if (!surplusIsError_) bytes.resize(std::min(bytes.size(), left_));
  if (bytes.size() > left_) {
    return Error{ErrorCode::kInvalid, "More bytes came than were announced"};
  }
  if (!bytes.empty()) {
    left_ -= bytes.size();
    pace_.moved(bytes.size(), Clock::now());
    return bytes;
  }
  if (result.status == IoStatus::kFailed) return Error{ErrorCode::kIo, "The client left"};
  if (left_ == 0) return std::string();
  if (result.status == IoStatus::kBlocked) return std::nullopt;
  return Error{ErrorCode::kInvalid, "Fewer bytes came than were announced"};
}

void IncomingBody::await() {
  if (!restsUntil_) {
    wakeFrom(1);
    acknowledgeNow(transport_.fd());
  }
  const Clock::time_point now = Clock::now();
  pace_.await(now);
  const auto judged = std::min(pace_.windowEnd().value_or(deadline_), deadline_);
  const auto next = restsUntil_.value_or(judged);
  owner_.setDeadline(std::max(next - now, Clock::duration::zero()));
}

void IncomingBody::restBetweenDrips() {
  if (drips_ < kDripsInARow || left_ == 0) return;
  restsUntil_ = given_ + kDripRest;
  wakeFrom(static_cast<int>(std::min<std::uint64_t>(left_, kDrip)));
}

/// SO_RCVLOWAT: the kernel wakes us only when this many bytes have come.
void IncomingBody::wakeFrom(int bytes) {
  if (bytes == lowWater_) return;
  ::setsockopt(transport_.fd(), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
  lowWater_ = bytes;
}

void IncomingBody::onDeadline() {
  const Clock::time_point now = Clock::now();
  const bool rested = std::exchange(restsUntil_, std::nullopt).has_value();
  const bool inTime = now < deadline_;
  if (rested && inTime) receive();  // counts what has come by now
  if (ended_) return;
  if (inTime && !pace_.tooSlow(now)) return rested ? void() : await();
  context_.counters.add(Counter::kTimeouts);
  fail({ErrorCode::kBusy, "The bytes came too slowly"});
}

void IncomingBody::fail(Error error) {
  const bool left = error.code == ErrorCode::kIo;
  pace_.rest(Clock::now());
  owner_.setDeadline(context_.timeOfSite());
  body_->end(std::move(error));
  if (left && !ended_) onLeft_();
}

void IncomingBody::end(Error error) {
  ended_ = true;
  body_->end(std::move(error));
}

}  // namespace egalaxyd
