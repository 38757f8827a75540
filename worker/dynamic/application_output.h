// The answer of an application that speaks SCGI or FastCGI, over one connection.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/unique_fd.h"
#include "common/base/unique_function.h"
#include "common/loop/event_loop.h"
#include "worker/base/lane.h"
#include "worker/dynamic/answer_source.h"
#include "worker/dynamic/connection_places.h"
#include "worker/dynamic/fastcgi_records.h"
#include "worker/dynamic/request_spool.h"
#include "worker/dynamic/script_errors.h"

namespace egalaxyd {

/// What is sent, piece by piece as the application takes it: a head, then the body's file.
class ApplicationRequest {
 public:
  /// `frame` makes of a piece of the body what is sent; its "" is the end.
  ApplicationRequest(std::string head, SpooledBody body,
                     std::function<std::string(std::string_view)> frame)
      : pending_(std::move(head)), body_(std::move(body)), frame_(std::move(frame)) {}

  enum class Outcome {
    kDone,
    kBlocked,  ///< the socket takes no more
    kMore,     ///< it may take more, when others have had their turn
    kDisk,     ///< the body's next piece is not in memory: readPiece() is to be called in the pool
    kFailed,   ///< the other end takes no more, ever
  };
  /// Never waits.
  Outcome send(int socket);
  bool sent() const { return ended_ && pending_.empty(); }
  /// Reads the body's next piece, waiting for the disk.
  std::string readPiece() const;
  void take(const std::string& piece);

 private:
  std::optional<std::string> nextPiece() const;

  std::string pending_;
  std::size_t sent_ = 0;  ///< of pending_
  SpooledBody body_;
  std::uint64_t read_ = 0;  ///< of the body
  bool ended_ = false;      ///< the end is in pending_
  std::function<std::string(std::string_view)> frame_;
};

/// Sends while it is read. The connection is closed when this is destroyed, unless it may be kept.
class ApplicationOutput final : public AnswerSource {
 public:
  struct Connection {
    UniqueFd socket;
    ConnectionPlaces::Place place;
    std::string name;  ///< for the log: scgi "/app" (unix:/run/app.sock)
    /// Gets the socket when the answer is whole and the application keeps it open. Empty: SCGI, or
    /// none are kept.
    UniqueFunction<void(UniqueFd)> keep = {};
  };
  enum class Speech { kScgi, kFastcgi };

  ApplicationOutput(EventLoop& loop, Lane& pool, Speech speech, Connection connection,
                    ApplicationRequest request);

  Piece read(std::span<char> room) override;
  std::string name() const override { return connection_.name; }
  std::string howItEnded() const override { return how_; }
  /// nullopt: the application carried the request out.
  std::optional<Status> refusal() const override { return refusal_; }
  bool saidNothing() const override { return silent_; }

 private:
  void pump();
  void readInPool();
  void readyLater();
  Piece receive(std::span<char> room);
  Piece endOfScgi(bool reset);
  Piece decode(std::span<char> room, std::size_t bytes);
  Piece end(std::string how, Piece::State state);

  EventLoop& loop_;
  Lane& pool_;
  const Speech speech_;
  Connection connection_;
  const std::shared_ptr<ApplicationRequest> request_;
  Watch watch_;
  FastcgiDecoder decoder_;
  ScriptErrors errors_;
  bool reading_ = false;  ///< the pool reads the body's next piece
  bool goesOn_ = false;   ///< readyLater() was called
  bool silent_ = true;
  std::optional<Piece::State> over_;
  std::optional<Status> refusal_;
  std::string how_;
  const std::shared_ptr<ApplicationOutput*> self_;  ///< null once this is gone
};

}  // namespace egalaxyd
