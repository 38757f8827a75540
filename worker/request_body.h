// The bytes that follow a request line, pulled by the site that wants them: what it does not take
// stays with the client.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "common/result.h"
#include "common/unique_function.h"

namespace egalaxyd {

/// The most that one read gives.
inline constexpr std::size_t kRequestBodyChunk = 64 * 1024;

/// Loop thread only. Shared by the site and the exchange, either of which may end first.
class RequestBody {
 public:
  using Done = UniqueFunction<void(Result<std::string>)>;

  /// `wanted` is called by read(); it gives what is there, or does so later.
  RequestBody(std::uint64_t size, UniqueFunction<void()> wanted)
      : size_(size), wanted_(std::move(wanted)) {}
  RequestBody(const RequestBody&) = delete;
  RequestBody& operator=(const RequestBody&) = delete;

  /// As the client announced it.
  std::uint64_t size() const { return size_; }

  /// `done` gets the next bytes, "" once all of them have been given, or an Error, which is the
  /// last: kInvalid where the client sent fewer or more than it announced, kBusy where it was too
  /// slow, kIo where it left. One read at a time. `done` may be called before this returns.
  void read(Done done) {
    if (error_) return done(*error_);
    done_ = std::move(done);
    wanted_();
  }

  // For the exchange.

  bool isWanted() const { return static_cast<bool>(done_); }
  void give(Result<std::string> bytes) {
    auto done = std::exchange(done_, {});
    done(std::move(bytes));
  }
  /// Nothing more will come: the read under way and all later ones get `error`.
  void end(Error error) {
    if (error_) return;
    error_ = std::move(error);
    wanted_ = {};
    if (done_) give(*error_);
  }

 private:
  const std::uint64_t size_;
  UniqueFunction<void()> wanted_;
  Done done_;
  std::optional<Error> error_;
};

}  // namespace egalaxyd
