// HTTP for the status page: POCO's server, on sockets that know when a connection has to be over.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "common/config/config.h"
#include "master/status/status_board.h"

namespace egalaxyd {

/// Its threads live until the process ends. What clients can cost: kThreads connections that are
/// answered and kWaiting that wait for that, for each address; more are closed. Each is over
/// kConnectionLife after it was accepted, whatever its client does or leaves out.
class StatusServer {
 public:
  static constexpr int kThreads = 4;
  static constexpr int kWaiting = 16;
  static constexpr std::chrono::seconds kConnectionLife{5};

  /// `listeners` listen already, and stay the caller's. `board` outlives it. Throws
  /// Poco::Exception.
  StatusServer(const std::vector<int>& listeners, const TokenDigest& token,
               const StatusBoard& board);
  ~StatusServer();
  StatusServer(const StatusServer&) = delete;
  StatusServer& operator=(const StatusServer&) = delete;

 private:
  struct Servers;
  std::unique_ptr<Servers> servers_;
};

}  // namespace egalaxyd
