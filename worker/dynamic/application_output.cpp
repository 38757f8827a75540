#include "worker/dynamic/application_output.h"

#include <spdlog/fmt/fmt.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <variant>

namespace egalaxyd {
namespace {

/// What is read of a body at a time.
constexpr std::size_t kPiece = kMostStdinRecord;
/// Pieces that are sent before others have their turn.
constexpr int kPiecesInARow = 16;
/// Reads that bring nothing for the page before others have their turn.
constexpr int kFruitlessInARow = 16;

std::string readAt(int file, std::uint64_t offset, int flags, bool& inMemory) {
  std::string piece(kPiece, '\0');
  const iovec part{piece.data(), piece.size()};
  const ssize_t got = ::preadv2(file, &part, 1, static_cast<off_t>(offset), flags);
  inMemory = got >= 0 || (errno != EAGAIN && errno != EOPNOTSUPP);
  piece.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return piece;
}

}  // namespace

ApplicationRequest::Outcome ApplicationRequest::send(int socket) {
  for (int pieces = 0; pieces < kPiecesInARow; ++pieces) {
    while (sent_ < pending_.size()) {
      const ssize_t done = ::send(socket, pending_.data() + sent_, pending_.size() - sent_,
                                  MSG_NOSIGNAL | MSG_DONTWAIT);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return errno == EAGAIN ? Outcome::kBlocked : Outcome::kFailed;
      sent_ += static_cast<std::size_t>(done);
    }
    std::string().swap(pending_);
    sent_ = 0;
    if (ended_) return Outcome::kDone;
    const auto piece = nextPiece();
    if (!piece) return Outcome::kDisk;
    take(*piece);
  }
  return Outcome::kMore;
}

/// nullopt: it is not in memory.
std::optional<std::string> ApplicationRequest::nextPiece() const {
  if (read_ >= body_.size()) return std::string();
  bool inMemory = false;
  std::string piece = readAt(body_.fd(), read_, RWF_NOWAIT, inMemory);
  return inMemory ? std::optional(std::move(piece)) : std::nullopt;
}

std::string ApplicationRequest::readPiece() const {
  bool inMemory = false;
  return readAt(body_.fd(), read_, 0, inMemory);
}

/// "" is the end, also where a disk gives less than there was.
void ApplicationRequest::take(const std::string& piece) {
  read_ += piece.size();
  ended_ = piece.empty();
  pending_ = frame_(piece);
}

ApplicationOutput::ApplicationOutput(EventLoop& loop, Lane& pool, Speech speech,
                                     Connection connection, ApplicationRequest request)
    : loop_(loop),
      pool_(pool),
      speech_(speech),
      connection_(std::move(connection)),
      request_(std::make_shared<ApplicationRequest>(std::move(request))),
      watch_(loop, [this](IoEvents) { ready(); }),
      errors_(connection_.name),
      self_(std::make_shared<ApplicationOutput*>(this)) {
  // Without a watch the answer ends at a deadline.
  static_cast<void>(watch_.start(connection_.socket.get(), WatchMode::kEdge));
  pump();
}

/// Sends what the application takes. One that answers before it has read all does so for a reason:
/// that it takes no more is not an error before its answer has ended.
void ApplicationOutput::pump() {
  if (reading_) return;
  switch (request_->send(connection_.socket.get())) {
    case ApplicationRequest::Outcome::kBlocked:
      return watch_.wantRoom();
    case ApplicationRequest::Outcome::kMore:
      return readyLater();
    case ApplicationRequest::Outcome::kDisk:
      return readInPool();
    case ApplicationRequest::Outcome::kDone:
    case ApplicationRequest::Outcome::kFailed:
      return;
  }
}

void ApplicationOutput::readyLater() {
  if (std::exchange(goesOn_, true)) return;
  loop_.defer([self = std::weak_ptr(self_)] {
    const auto alive = self.lock();
    if (!alive) return;
    (*alive)->goesOn_ = false;
    (*alive)->ready();
  });
}

void ApplicationOutput::readInPool() {
  reading_ = true;
  pool_.submit([request = request_]() -> Result<std::string> { return request->readPiece(); },
               [self = std::weak_ptr(self_), request = request_](Result<std::string> piece) {
                 const auto alive = self.lock();
                 if (!alive) return;
                 request->take(piece ? *piece : std::string());
                 (*alive)->reading_ = false;
                 (*alive)->ready();
               });
}

AnswerSource::Piece ApplicationOutput::read(std::span<char> room) {
  if (over_) return {*over_, 0};
  pump();
  // A record may bring nothing for the page, and an application may send such ones without end.
  for (int reads = 0; reads < kFruitlessInARow; ++reads) {
    const Piece piece = receive(room);
    if (piece.state != Piece::State::kBytes || piece.bytes > 0) return piece;
  }
  readyLater();
  return {};
}

AnswerSource::Piece ApplicationOutput::receive(std::span<char> room) {
  const ssize_t got = ::recv(connection_.socket.get(), room.data(), room.size(), MSG_DONTWAIT);
  if (got < 0 && errno == EINTR) return {Piece::State::kBytes, 0};
  if (got < 0 && errno == EAGAIN) return {};
  const bool reset = got < 0 && errno == ECONNRESET;
  if (speech_ == Speech::kScgi && (got == 0 || (reset && !silent_))) return endOfScgi(reset);
  if (got < 0) {
    return end(fmt::format("broke the connection ({})", ::strerrordesc_np(errno)),
               Piece::State::kCut);
  }
  if (got == 0) return end("closed the connection without END_REQUEST", Piece::State::kCut);
  silent_ = false;
  if (speech_ == Speech::kScgi) return {Piece::State::kBytes, static_cast<std::size_t>(got)};
  return decode(room, static_cast<std::size_t>(got));
}

/// A connection that is closed while there is more of the request to read is reset; what was said
/// before is whole, as far as anybody can tell.
AnswerSource::Piece ApplicationOutput::endOfScgi(bool reset) {
  const bool unread = reset || !request_->sent();
  return end(unread ? "closed the connection without having read the whole request" : "",
             Piece::State::kEnd);
}

/// Moves what belongs to the page to the front of `room`.
AnswerSource::Piece ApplicationOutput::decode(std::span<char> room, std::size_t bytes) {
  std::string_view rest(room.data(), bytes);
  std::size_t kept = 0;
  for (;;) {
    const auto step = decoder_.next(rest);
    if (std::holds_alternative<NeedMore>(step)) return {Piece::State::kBytes, kept};
    if (const auto* page = std::get_if<FastcgiStdout>(&step)) {
      std::memmove(room.data() + kept, page->bytes.data(), page->bytes.size());
      kept += page->bytes.size();
    } else if (const auto* said = std::get_if<FastcgiStderr>(&step)) {
      errors_.add(said->bytes);
    } else if (const auto* fault = std::get_if<FastcgiFault>(&step)) {
      const Piece cut = end("protocol: " + fault->text, Piece::State::kCut);
      return kept > 0 ? Piece{Piece::State::kBytes, kept} : cut;
    } else if (const auto* last = std::get_if<FastcgiEnd>(&step)) {
      refusal_ = refusalOf(*last);
      if (!rest.empty()) connection_.keep = {};  // nobody asked for that
      const Piece whole = end(
          last->exitCode == 0 ? std::string() : fmt::format("exited with code {}", last->exitCode),
          Piece::State::kEnd);
      return kept > 0 ? Piece{Piece::State::kBytes, kept} : whole;
    }
  }
}

AnswerSource::Piece ApplicationOutput::end(std::string how, Piece::State state) {
  how_ = std::move(how);
  over_ = state;
  errors_.finish();
  watch_.stop();
  const bool mayStay = state == Piece::State::kEnd && speech_ == Speech::kFastcgi && !refusal_;
  // Where the body is not all sent, the next request would be taken for its rest.
  if (mayStay && request_->sent() && connection_.keep)
    connection_.keep(std::move(connection_.socket));
  connection_.socket = UniqueFd();
  connection_.place = {};
  return {state, 0};
}

}  // namespace egalaxyd
