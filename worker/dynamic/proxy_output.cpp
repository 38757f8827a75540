#include "worker/dynamic/proxy_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace egalaxyd {
namespace {

/// What is read of a body at a time.
constexpr std::size_t kProxyPiece = 64 * 1024;

Result<std::string> readPieceAt(int file, std::uint64_t offset) {
  std::string piece(kProxyPiece, '\0');
  const ssize_t got = ::pread(file, piece.data(), piece.size(), static_cast<off_t>(offset));
  if (got <= 0) return Error{ErrorCode::kIo, "the body cannot be read from the spool folder"};
  piece.resize(static_cast<std::size_t>(got));
  return piece;
}

}  // namespace

ProxyOutput::ProxyOutput(EventLoop& loop, Lane& pool, std::unique_ptr<DialledStream> stream,
                         ConnectionPlaces::Place place, std::string name, ProxyQuestion question)
    : pool_(pool),
      stream_(std::move(stream)),
      place_(std::move(place)),
      name_(std::move(name)),
      question_(std::move(question)),
      watch_(loop, [this](IoEvents) { ready(); }),
      self_(std::make_shared<ProxyOutput*>(this)) {
  // Without a watch the answer ends at a deadline.
  static_cast<void>(watch_.start(stream_->fd(), WatchMode::kEdge));
}

AnswerSource::Piece ProxyOutput::read(std::span<char> room) {
  if (over_) return {*over_, 0};
  if (lost_) return end(Piece::State::kCut, "its upload could not be read from the spool folder");
  // A capsule that refuses an upload answers before it has all of it, and may read no further.
  if (ask() == State::kBlocked) watch_.wantRoom();
  const auto got = stream_->receive(room);
  switch (got.state) {
    case State::kDone:
      return {Piece::State::kBytes, got.bytes};
    case State::kBlocked:
      return {};
    case State::kEnded:
      return end(Piece::State::kEnd, {});
    case State::kFailed:
      break;
  }
  return end(Piece::State::kCut, stream_->fault());
}

/// Goes on with the line, then with the body.
ProxyOutput::State ProxyOutput::ask() {
  if (const State sent = sendAll(question_.line); sent != State::kDone) return sent;
  const State sent = sendAll(piece_);
  if (sent == State::kDone && read_ < question_.body.size()) nextPiece();
  return sent;
}

ProxyOutput::State ProxyOutput::sendAll(std::string& bytes) {
  while (!bytes.empty()) {
    const auto moved = stream_->send(bytes);
    if (moved.state != State::kDone) return moved.state;
    bytes.erase(0, moved.bytes);
  }
  return State::kDone;
}

/// The pool reads it; then read() is called again.
void ProxyOutput::nextPiece() {
  if (reading_) return;
  reading_ = true;
  // The job may outlive this, and its file.
  auto own = std::make_shared<UniqueFd>(::fcntl(question_.body.fd(), F_DUPFD_CLOEXEC, 0));
  pool_.submit([own, offset = read_] { return readPieceAt(own->get(), offset); },
               [self = std::weak_ptr(self_)](Result<std::string> piece) {
                 const auto alive = self.lock();
                 if (!alive) return;
                 ProxyOutput& output = **alive;
                 output.reading_ = false;
                 output.lost_ = !piece;
                 if (piece) {
                   output.read_ += piece->size();
                   output.piece_ = std::move(*piece);
                 }
                 output.ready();
               });
}

AnswerSource::Piece ProxyOutput::end(Piece::State state, std::string how) {
  over_ = state;
  how_ = std::move(how);
  watch_.stop();
  place_ = {};
  return {state, 0};
}

}  // namespace egalaxyd
