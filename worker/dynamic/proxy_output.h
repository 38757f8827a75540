// The answer of another capsule, over one connection.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/loop/event_loop.h"
#include "worker/base/lane.h"
#include "worker/dynamic/answer_source.h"
#include "worker/dynamic/connection_places.h"
#include "worker/dynamic/request_spool.h"
#include "worker/transport/dialled_stream.h"

namespace egalaxyd {

/// What is said to a capsule.
struct ProxyQuestion {
  std::string line;  ///< the request line, CRLF included
  SpooledBody body;  ///< sent behind it
};

/// Asks while it is read. Ends with the connection, which no close_notify need announce.
class ProxyOutput final : public AnswerSource {
 public:
  /// `stream` has shaken hands. `name`: for the log.
  ProxyOutput(EventLoop& loop, Lane& pool, std::unique_ptr<DialledStream> stream,
              ConnectionPlaces::Place place, std::string name, ProxyQuestion question);

  Piece read(std::span<char> room) override;
  std::string name() const override { return name_; }
  std::string howItEnded() const override { return how_; }

 private:
  using State = DialledStream::State;
  State ask();
  State sendAll(std::string& bytes);
  void nextPiece();
  Piece end(Piece::State state, std::string how);

  Lane& pool_;
  const std::unique_ptr<DialledStream> stream_;
  ConnectionPlaces::Place place_;
  const std::string name_;
  ProxyQuestion question_;
  std::string piece_;       ///< of the body, what has not been sent of it
  std::uint64_t read_ = 0;  ///< of the body
  bool reading_ = false;    ///< the pool reads the next piece
  bool lost_ = false;       ///< the body cannot be read
  Watch watch_;
  std::optional<Piece::State> over_;
  std::string how_;
  const std::shared_ptr<ProxyOutput*> self_;  ///< expires with this
};

}  // namespace egalaxyd
