#include "worker/exchange.h"

#include <spdlog/spdlog.h>

#include <array>
#include <cstring>
#include <utility>

#include "common/log.h"
#include "worker/protocol/gemini_encoder.h"

namespace egalaxyd {
namespace {

/// Chunks that one connection may send before others have their turn.
constexpr int kChunksPerTurn = 8;

/// Loop thread only, and only within one call: connections without bytes have no buffer.
std::array<char, kBodyChunk> scratch;

Counter counterOf(int status) {
  return static_cast<Counter>(static_cast<int>(Counter::kStatus1x) + status / 10 - 1);
}

/// For the log, where the query must not show.
std::string withoutQuery(const std::string& url) {
  const auto mark = url.find('?');
  return mark == std::string::npos ? url : url.substr(0, mark) + "?…";
}

}  // namespace

Exchange::Exchange(const ExchangeContext& context, ExchangeOwner& owner, const IpAddress& client,
                   Clock::time_point accepted, std::unique_ptr<Transport> transport)
    : context_(context),
      owner_(owner),
      client_(client),
      accepted_(accepted),
      transport_(std::move(transport)) {}

void Exchange::start() {
  owner_.setDeadline(context_.limits.handshakeTimeout);
  continueHandshake();
}

void Exchange::onReady() {
  switch (step_) {
    case Step::kHandshake:
      return continueHandshake();
    case Step::kRequest:
      return readRequest();
    case Step::kResponse:
      return sendResponse();
    case Step::kSite:
    case Step::kEnded:
      return;
  }
}

void Exchange::onDeadline() {
  context_.counters.add(Counter::kTimeouts);
  if (step_ == Step::kSite) {
    spdlog::error("a site took too long to answer \"{}\"; the client got 42", logQuote(url_));
    return begin(Response::failure(Status::kCgiError, "No answer in time"));
  }
  if (step_ != Step::kRequest) return abort("timeout");
  transport_->writeEnd();
  static_cast<void>(transport_->send());
  endGently("timeout");
}

void Exchange::abort(std::string_view why) { end(UniqueFd(), why); }

void Exchange::continueHandshake() {
  const IoResult result = transport_->handshake();
  if (result.status == IoStatus::kBlocked) return;
  if (result.status != IoStatus::kDone) {
    context_.counters.add(Counter::kHandshakesFailed);
    return end(UniqueFd(), "handshake failed");
  }
  context_.counters.add(Counter::kHandshakes);
  step_ = Step::kRequest;
  owner_.setDeadline(context_.limits.requestTimeout);
  owner_.progressed();
  readRequest();
}

void Exchange::readRequest() {
  for (;;) {
    const IoResult result = transport_->read(scratch);
    if (result.status == IoStatus::kBlocked) return;
    if (result.status == IoStatus::kFailed) return end(UniqueFd(), "client left");
    if (result.status == IoStatus::kEnd) {
      transport_->writeEnd();
      static_cast<void>(transport_->send());
      return endGently("client left");
    }
    context_.counters.add(Counter::kBytesIn, result.bytes);
    std::size_t consumed = 0;
    ParseStep step = parser_.feed({scratch.data(), result.bytes}, consumed);
    if (std::holds_alternative<NeedMore>(step)) continue;
    requestSeen_ = true;
    if (auto* malformed = std::get_if<Malformed>(&step)) {
      url_ = withoutQuery(malformed->line);
      return begin(Response::failure(Status::kBadRequest, std::move(malformed->text)));
    }
    return onRequestLine(std::get<RequestLine>(std::move(step)));
  }
}

void Exchange::onRequestLine(RequestLine line) {
  // Until the site is known, any query may be a secret.
  url_ = withoutQuery(line.url);
  auto routed = context_.gate.admit(std::move(line), transport_->serverName(), client_);
  if (auto* refusal = std::get_if<Response>(&routed)) return begin(std::move(*refusal));
  auto& [site, request] = std::get<Routed>(routed);
  querySecret_ = request.query && site->hidesQuery(request.sitePath());
  if (!querySecret_) url_ = request.url;
  request.users = &context_.services.users;
  request.identity = transport_->identity();
  if (request.identity) {
    context_.storage.recordVisit(request.identity->fingerprint, request.identity->keyFingerprint);
  }
  step_ = Step::kSite;
  owner_.progressed();
  owner_.setDeadline(context_.limits.writeTimeout);
  site->handle(std::move(request), owner_.makeResponder(), context_.services);
}

void Exchange::respond(std::optional<Response> response) {
  if (step_ != Step::kSite) return;
  if (response) return begin(std::move(*response));
  spdlog::error("a site gave no answer to \"{}\"; the client got 42", logQuote(url_));
  begin(Response::failure(Status::kCgiError, "No answer"));
}

void Exchange::begin(Response response) {
  header_ = encodeGeminiHeader(response);
  status_ = (header_[0] - '0') * 10 + (header_[1] - '0');
  meta_ = header_.substr(3, header_.size() - 5);
  if (querySecret_) meta_ = withoutQuery(meta_);
  context_.counters.add(Counter::kRequests);
  context_.counters.add(counterOf(status_));
  if (status_ == static_cast<int>(Status::kSlowDown)) context_.counters.add(Counter::kRateLimited);
  if (status_ == static_cast<int>(Status::kSuccess)) body_ = std::move(response.body);
  if (body_) {
    body_->onWake([this] {
      bodyAwaited_ = false;
      owner_.continueLater();
    });
  }
  step_ = Step::kResponse;
  owner_.setDeadline(context_.limits.writeTimeout);
  sendResponse();
}

void Exchange::sendResponse() {
  for (int turn = 0; turn < kChunksPerTurn; ++turn) {
    const IoResult sent = transport_->send();
    if (sent.bytes > 0) {
      owner_.setDeadline(context_.limits.writeTimeout);
      owner_.progressed();
    }
    if (sent.status == IoStatus::kFailed) return end(UniqueFd(), "client left");
    if (sent.status == IoStatus::kBlocked || bodyAwaited_) return;
    if (allWritten_) return endGently("ok");
    if (!produce()) return end(UniqueFd(), "body failed");
  }
  owner_.continueLater();
}

/// Hands the next chunk to the transport, the header in front of the first and the end behind the
/// last. False when the body cannot go on.
bool Exchange::produce() {
  const std::size_t headerSize = header_.size();
  std::memcpy(scratch.data(), header_.data(), headerSize);
  BodyChunk chunk{BodyChunk::State::kEnd, {}};
  if (body_) chunk = body_->pull(std::span(scratch).subspan(headerSize));
  if (chunk.state == BodyChunk::State::kFailed) return false;
  bodyAwaited_ = chunk.state == BodyChunk::State::kLater;
  if (headerSize > 0 && chunk.bytes.data() != scratch.data() + headerSize) {
    chunk.bytes.copy(scratch.data() + headerSize, scratch.size() - headerSize);
  }
  const std::string_view bytes =
      headerSize == 0 ? chunk.bytes
                      : std::string_view(scratch.data(), headerSize + chunk.bytes.size());
  if (!bytes.empty()) transport_->write(bytes);
  bytesOut_ += bytes.size();
  header_.clear();
  if (chunk.state == BodyChunk::State::kEnd) {
    body_.reset();
    transport_->writeEnd();
    allWritten_ = true;
  }
  return true;
}

void Exchange::endGently(std::string_view why) {
  const bool linger = !allWritten_ || transport_->mustLinger();
  end(linger ? transport_->releaseSocket() : UniqueFd(), why);
}

void Exchange::end(UniqueFd socket, std::string_view why) {
  step_ = Step::kEnded;
  context_.counters.add(Counter::kBytesOut, bytesOut_);
  body_.reset();
  if (requestSeen_) writeAccessLog(why);
  if (!requestSeen_) {
    spdlog::debug("{} ended before a request: {}", client_.text(context_.addressMask), why);
  }
  owner_.ended(std::move(socket));
}

void Exchange::writeAccessLog(std::string_view why) const {
  const auto identity = transport_->identity();
  const std::string client = client_.text(context_.addressMask);
  logAccess({.protocol = "gemini",
             .url = url_,
             .status = status_,
             .meta = meta_,
             .bytes = bytesOut_,
             .duration = Clock::now() - accepted_,
             .client = client,
             .user = identity ? std::string_view(identity->fingerprint).substr(0, 16) : "",
             .ended = why});
}

}  // namespace egalaxyd
