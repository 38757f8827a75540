// A non-blocking socket as it is, for protocols without TLS.
#pragma once

#include <utility>

#include "worker/transport/outbox.h"
#include "worker/transport/transport.h"

namespace egalaxyd {

/// Has a buffer only for what the socket did not take of the last chunk. Without TLS only an
/// ordinary end of the connection (FIN) marks a complete answer. So a transport that is destroyed
/// before writeLast() was sent resets the connection (SO_LINGER 0), and the client knows that the
/// answer is incomplete.
class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(UniqueFd socket) : socket_(std::move(socket)), outbox_(socket_.get()) {}
  ~PlainTransport() override;
  PlainTransport(const PlainTransport&) = delete;
  PlainTransport& operator=(const PlainTransport&) = delete;

  IoResult handshake() override { return {IoStatus::kDone}; }
  IoResult read(std::span<char> into) override;
  std::size_t chunk() const override { return kLargestChunk; }
  void write(std::string_view bytes) override { outbox_.write(bytes); }
  void writeLast(std::string_view bytes) override;
  IoResult send() override { return outbox_.send(); }
  bool holdsBack() const override { return !outbox_.empty(); }

  int fd() const override { return socket_.get(); }
  UniqueFd releaseSocket() override { return std::move(socket_); }

 private:
  UniqueFd socket_;
  Outbox outbox_;
  bool ended_ = false;  ///< writeLast() was called
};

}  // namespace egalaxyd
