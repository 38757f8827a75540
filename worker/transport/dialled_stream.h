// A connection that we made to another capsule: plain, or TLS as the client.
#pragma once

#include <openssl/types.h>

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

/// By what the other end is known, and what we show to it.
struct DialledTls {
  std::vector<std::string> fingerprints;  ///< lower-case hex, of a certificate or its key
  std::filesystem::path ca;               ///< PEM; with neither, any certificate will do
  std::filesystem::path certificate;      ///< "": none is shown
  std::filesystem::path key;
};

/// What connections have in common. Made by the master, before the fork; immutable.
class DialledContext {
 public:
  /// kInvalid and others: a file that cannot be read or used.
  static Result<std::shared_ptr<const DialledContext>> make(const DialledTls& tls);
  ~DialledContext();
  DialledContext(const DialledContext&) = delete;
  DialledContext& operator=(const DialledContext&) = delete;

 private:
  friend class DialledStream;
  DialledContext(SSL_CTX* context, std::vector<std::string> fingerprints, bool hasCa)
      : context_(context), fingerprints_(std::move(fingerprints)), hasCa_(hasCa) {}
  SSL_CTX* const context_;
  const std::vector<std::string> fingerprints_;
  const bool hasCa_;
};

/// Non-blocking; the owner watches the socket. Loop thread only.
class DialledStream {
 public:
  enum class State {
    kDone,
    kBlocked,  ///< the socket has to become ready first, to read or to write
    kEnded,    ///< the other end has sent all
    kFailed,   ///< see fault()
  };
  struct Moved {
    State state = State::kDone;
    std::size_t bytes = 0;
  };

  /// `context`: nullptr without TLS. `name`: the host that is asked for, as SNI; with a `ca` the
  /// certificate has to have it.
  DialledStream(UniqueFd socket, std::shared_ptr<const DialledContext> context,
                const std::string& name);
  ~DialledStream();
  DialledStream(const DialledStream&) = delete;
  DialledStream& operator=(const DialledStream&) = delete;

  int fd() const { return socket_.get(); }
  /// Sends as it is, before any TLS.
  Moved sendPlain(std::string_view bytes);
  /// Shakes hands, and knows the other end for who it should be. Nothing to do without TLS.
  State handshake();
  /// After handshake() was kDone.
  Moved send(std::string_view bytes);
  Moved receive(std::span<char> room);
  /// For the log.
  const std::string& fault() const { return fault_; }

 private:
  bool isKnown();
  Moved outcomeOf(int result);
  State fail(std::string why);
  static void onMessage(int isOurs, int version, int type, const void* bytes, std::size_t size,
                        SSL* ssl, void* stream);
  void onRecord();

  UniqueFd socket_;
  const std::shared_ptr<const DialledContext> context_;
  SSL* ssl_ = nullptr;
  bool shaken_ = false;
  bool costly_ = false;        ///< it has sent certificates that are not to be parsed
  std::size_t fruitless_ = 0;  ///< records since the last that brought data
  std::string fault_;
};

}  // namespace egalaxyd
