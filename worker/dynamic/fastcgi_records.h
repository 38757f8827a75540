// FastCGI's records: those of a request to a responder, and what the application answers. One
// request at a time on a connection, its id being 1. Pure: bytes in, values out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "worker/dynamic/named_value.h"
#include "worker/site/request_line.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// The most that one record of the body brings.
inline constexpr std::size_t kMostStdinRecord = 16 * 1024;

/// BEGIN_REQUEST. `keep`: the application leaves the connection open when it has answered.
std::string fastcgiBegin(bool keep);
/// PARAMS, the empty record that ends them included.
std::string fastcgiParams(std::span<const NamedValue> variables);
/// STDIN in records of at most kMostStdinRecord. "" is the end of the body.
std::string fastcgiStdin(std::string_view bytes);

/// Of the answer; `bytes` point into what was given to next().
struct FastcgiStdout {
  std::string_view bytes;
};
/// For the log, likewise.
struct FastcgiStderr {
  std::string_view bytes;
};
/// The answer is whole; a kept connection may take the next request.
struct FastcgiEnd {
  std::uint32_t exitCode = 0;
  std::uint8_t protocolStatus = 0;
};
/// A record of a type that is not for us was begun, which is skipped.
struct FastcgiSkipped {
  std::uint8_t type = 0;
};
/// No FastCGI: the connection must be closed. For the log.
struct FastcgiFault {
  std::string text;
};
using FastcgiStep =
    std::variant<NeedMore, FastcgiStdout, FastcgiStderr, FastcgiEnd, FastcgiSkipped, FastcgiFault>;

/// nullopt: the request was carried out; else what the client is told.
std::optional<Status> refusalOf(const FastcgiEnd& end);

/// Reads what an application sends. It keeps no more than a record's header, and the body of an
/// END_REQUEST. After a fault it cannot be used any more; after an end it reads the next answer.
class FastcgiDecoder {
 public:
  /// Takes bytes from the front of `bytes`, all of them at last: call it until it says NeedMore.
  FastcgiStep next(std::string_view& bytes);
  /// Whether it stands between two records.
  bool idle() const { return filled_ == 0; }

 private:
  std::optional<FastcgiFault> readHeader();
  FastcgiStep pass(std::string_view& bytes);

  std::array<char, 8> head_{};
  std::size_t filled_ = 0;   ///< bytes of head_, which is kept until its record has ended
  bool told_ = false;        ///< that the record is skipped
  std::size_t content_ = 0;  ///< bytes of the record that are to come
  std::size_t padding_ = 0;
  std::array<char, 8> end_{};  ///< the body of END_REQUEST
  std::size_t endFilled_ = 0;
};

}  // namespace egalaxyd
