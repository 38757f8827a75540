// The bytes that follow a request line. The site pulls them; what it does not pull stays with the
// client.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "common/base/unique_function.h"
#include "worker/base/task.h"

namespace egalaxyd {

/// The most that one read gives.
inline constexpr std::size_t kRequestBodyChunk = 64 * 1024;

/// Loop thread only. Shared by the site and the exchange, either of which may end first.
class RequestBody {
 public:
  using Done = UniqueFunction<void(Result<std::string>)>;

  /// read() calls `wanted`, which gives the next bytes, at once or later.
  RequestBody(std::uint64_t size, UniqueFunction<void()> wanted)
      : size_(size), wanted_(std::move(wanted)) {}
  RequestBody(const RequestBody&) = delete;
  RequestBody& operator=(const RequestBody&) = delete;

  /// As the client announced it.
  std::uint64_t size() const { return size_; }

  /// `done` gets the next bytes, "" once all of them have been given, or an Error: kInvalid if the
  /// client sent fewer or more than it announced, kBusy if it was too slow, kIo if it left. "" and
  /// an Error are the last: later reads are dropped without a call. One read at a time. `done` may
  /// be called before this returns, but never within another `done`, so it may read again.
  void read(Done done) {
    if (finished_) return;
    if (error_) {
      finished_ = true;
      return done(*error_);
    }
    done_ = std::move(done);
    if (!giving_) wanted_();
  }

  /// The same, for `co_await`, which always goes on: a read after the last gets kInvalid.
  Async<Result<std::string>> read() {
    return async<Result<std::string>>([this](Done done) {
      if (finished_) return done(Error{ErrorCode::kInvalid, "the body has been read already"});
      read(std::move(done));
    });
  }

  // For the exchange.

  bool isWanted() const { return static_cast<bool>(done_); }
  /// Check isWanted() afterwards: a read from within `done` does not call `wanted`.
  void give(Result<std::string> bytes) {
    finished_ = !bytes || bytes->empty();
    auto done = std::exchange(done_, {});
    giving_ = true;
    done(std::move(bytes));
    giving_ = false;
  }
  /// Nothing more will come: the current read, or the next one, gets `error`.
  void end(Error error) {
    if (error_) return;
    error_ = std::move(error);
    if (done_) give(*error_);
  }

 private:
  const std::uint64_t size_;
  UniqueFunction<void()> wanted_;
  Done done_;
  bool giving_ = false;    ///< `done` is being called
  bool finished_ = false;  ///< "" or an Error has been given
  std::optional<Error> error_;
};

}  // namespace egalaxyd
