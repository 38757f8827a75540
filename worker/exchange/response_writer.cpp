#include "worker/exchange/response_writer.h"

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "worker/exchange/scratch.h"
#include "worker/transport/unreceived.h"

namespace egalaxyd {
namespace {

/// The time over which limits.download_min_rate is measured.
constexpr auto kDownloadWindow = std::chrono::seconds(30);

/// A long body checks for room before each chunk: a chunk that the socket does not take would stay
/// in our memory for as long as the client does not read. If there is none, the loop reports the
/// change.
bool takesMore(int socket) {
  pollfd ready{socket, POLLOUT, 0};
  return ::poll(&ready, 1, 0) != 0;
}

}  // namespace

void ResponseWriter::begin(std::string header, std::unique_ptr<BodySource> body) {
  header_ = std::move(header);
  body_ = std::move(body);
  if (body_) {
    body_->onWake([this] {
      bodyAwaited_ = false;
      lastTaken_ = Clock::now();  // until here there was nothing to take
      owner_.continueLater();
    });
  }
  pace_.begin(context_.limits.downloadMinRate, kDownloadWindow);
  lastTaken_ = Clock::now();
  owner_.setDeadline(context_.limits.writeTimeout);
}

ResponseWriter::Outcome ResponseWriter::send(Transport& transport) {
  const std::uint64_t turnEnds = bytesOut_ + kBytesPerTurn;
  while (bytesOut_ < turnEnds || allWritten_) {
    const IoResult sent = transport.send();
    if (sent.bytes > 0) {
      if (socketTook_ == 0) firstByte_ = Clock::now();
      socketTook_ += sent.bytes;
      owner_.setDeadline(context_.limits.writeTimeout);
    }
    if (sent.status == IoStatus::kFailed) return Outcome::kClientLeft;
    if (sent.status == IoStatus::kBlocked) return awaitReader(transport, Clock::now());
    if (bodyAwaited_) {
      pace_.rest(Clock::now());
      return Outcome::kUnderWay;
    }
    if (allWritten_) return Outcome::kDone;
    if (bodyFailed_) return Outcome::kBodyFailed;
    if (bytesOut_ > 0 && !takesMore(transport.fd())) return awaitReader(transport, Clock::now());
    if (!produce(transport)) return Outcome::kBodyFailed;
  }
  owner_.continueLater();
  return Outcome::kUnderWay;
}

/// Hands the next chunk to the transport: the header goes before the first, the end of the stream
/// after the last. A body that fails at once leaves a header without an end: the log has its
/// status. False if nothing is left to hand over.
bool ResponseWriter::produce(Transport& transport) {
  const std::size_t headerSize = header_.size();
  std::memcpy(scratch.data(), header_.data(), headerSize);
  BodyChunk chunk{BodyChunk::State::kEnd, {}};
  // The first chunk goes out without that check, so it must fit into a new connection's buffer.
  const std::size_t most = bytesOut_ == 0 ? kBodyChunk : transport.chunk();
  if (body_) chunk = body_->pull(std::span(scratch).first(most).subspan(headerSize));
  bodyFailed_ = chunk.state == BodyChunk::State::kFailed;
  if (bodyFailed_ && headerSize == 0) return false;
  if (bodyFailed_) chunk.bytes = {};
  bodyAwaited_ = chunk.state == BodyChunk::State::kLater;
  if (headerSize > 0 && chunk.bytes.data() != scratch.data() + headerSize) {
    // The chunk may lie elsewhere in `scratch`, overlapping this.
    std::char_traits<char>::move(scratch.data() + headerSize, chunk.bytes.data(),
                                 chunk.bytes.size());
  }
  const std::string_view bytes =
      headerSize == 0 ? chunk.bytes
                      : std::string_view(scratch.data(), headerSize + chunk.bytes.size());
  allWritten_ = chunk.state == BodyChunk::State::kEnd;
  if (allWritten_) {
    transport.writeLast(bytes);
  } else if (!bytes.empty()) {
    transport.write(bytes);
  }
  bytesOut_ += bytes.size();
  header_.clear();
  if (allWritten_) body_.reset();
  return true;
}

void ResponseWriter::look(const Transport& transport, Clock::time_point now) {
  const auto held = static_cast<std::uint64_t>(unreceivedBytes(transport.fd()));
  const std::uint64_t taken = socketTook_ - std::min(held, socketTook_);
  if (taken <= acknowledged_) return;
  pace_.moved(taken - acknowledged_, now);
  acknowledged_ = taken;
  lastTaken_ = now;
}

/// Waits until there is room, or the client has taken nothing, or too little, for too long.
ResponseWriter::Outcome ResponseWriter::awaitReader(const Transport& transport,
                                                    Clock::time_point now) {
  look(transport, now);
  pace_.await(now);
  const auto stop = lastTaken_ + context_.limits.writeTimeout;
  const auto next = std::min(pace_.windowEnd().value_or(stop), stop);
  owner_.setDeadline(std::max(next - now, Clock::duration::zero()));
  owner_.awaitRoom();
  return Outcome::kUnderWay;
}

ResponseWriter::Outcome ResponseWriter::onDeadline(const Transport& transport) {
  const Clock::time_point now = Clock::now();
  look(transport, now);
  if (now - lastTaken_ >= context_.limits.writeTimeout) return Outcome::kStopped;
  return pace_.tooSlow(now) ? Outcome::kTooSlow : awaitReader(transport, now);
}

}  // namespace egalaxyd
