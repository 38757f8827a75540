// What answers requests below one path.
#pragma once

#include <chrono>
#include <cstdint>

#include "worker/site/request.h"
#include "worker/site/responder.h"

namespace egalaxyd {

class Lane;
class EventLoop;
class Programs;
class SharedState;
class Tasks;
class Uploads;
struct LimitsConfig;

/// What a worker knows of itself, for pages that show it.
struct ServerInfo {
  std::uint32_t worker = 0;   ///< 0-based
  std::uint32_t workers = 1;  ///< of this generation
  std::uint64_t generation = 1;
  std::chrono::system_clock::time_point workerStarted;
  const SharedState& shared;
  const LimitsConfig& limits;
};

/// What a site may use while it answers; all of it outlives every request.
struct Services {
  EventLoop& loop;
  Tasks& tasks;
  Lane& pool;
  Users& users;
  Uploads& uploads;
  Programs& programs;  ///< scripts and applications
  const ServerInfo& info;
};

/// What a site does with bytes that follow a request.
enum class AcceptedBody {
  kNothing,
  kInput,    ///< a short text, which becomes the request's query
  kBlocks,   ///< Spartan's data blocks as Request::body; no Titan uploads
  kUploads,  ///< whatever Request::upload announces; the site reads Request::body
};

/// By what a client may upload, or edit.
enum class UploadRight {
  kNone,     ///< it may not
  kOpen,     ///< as anybody may, or anybody who makes a certificate
  kGranted,  ///< by a token or a certificate that the operator has let in
};

/// Built by the master before the fork, used by every worker on its loop's thread.
class Site {
 public:
  virtual ~Site() = default;
  /// Answers through `reply`, now or later, exactly once. Must not block: work that may wait goes
  /// to `services.pool`.
  virtual void handle(Request request, Responder reply, Services& services) = 0;
  /// Which body `sitePath` accepts; a request with another one is refused before it gets here.
  virtual AcceptedBody takes(std::string_view sitePath) const {
    static_cast<void>(sitePath);
    return AcceptedBody::kNothing;
  }
  /// The right of `request`, which announces an upload at `sitePath`; its users and body are not
  /// there yet. What kGranted lets in is exempt from the rate limit. Must not wait.
  virtual UploadRight uploadRight(const Request& request, std::string_view sitePath) const {
    static_cast<void>(request);
    static_cast<void>(sitePath);
    return UploadRight::kNone;
  }
  /// The operator's name for the token of such a request, which uploadRight() has granted; "" where
  /// it has none. It must stay as long as the site.
  virtual std::string_view tokenName(const Request& request, std::string_view sitePath) const {
    static_cast<void>(request);
    static_cast<void>(sitePath);
    return {};
  }
  /// Whether the site sees to it itself that an answer for `sitePath` comes in time. The request
  /// does not take one of the slots that short answers share.
  virtual bool keepsTime(std::string_view sitePath) const {
    static_cast<void>(sitePath);
    return false;
  }
  /// Whether an encoded '/' may follow `sitePath` in a request's path, which then has a
  /// kEncodedSlash (common/base/path.h) for it; elsewhere such a request is answered 51 before it
  /// gets here.
  virtual bool takesEncodedSlash(std::string_view sitePath) const {
    static_cast<void>(sitePath);
    return false;
  }
  /// Whether the query of a request for `sitePath` is secret and must not be logged.
  virtual bool hidesQuery(std::string_view sitePath) const {
    static_cast<void>(sitePath);
    return false;
  }
};

}  // namespace egalaxyd
