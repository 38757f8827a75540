// What the load generator is asked to do.
#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace egalaxyd::load {

enum class Wire { kGemini, kSpartan };

/// Clients that hold a connection and do not get on with it.
enum class StallKind {
  kSilent,      ///< sends nothing
  kHalfHello,   ///< half a ClientHello
  kTrickle,     ///< a whole handshake, then one byte of the request line a second
  kUnread,      ///< a whole request, and never reads the answer
  kSip,         ///< a whole request, and reads 4 KiB of the answer ten times a second
  kHello,       ///< a whole ClientHello, and nothing after it
  kSlowFinish,  ///< ends its handshake half a second later than it could, and comes again
  kUpload,      ///< over Spartan: announces 1 MB and sends 200 bytes ten times a second
};

struct Stall {
  StallKind kind = StallKind::kSilent;
  int count = 0;
};

struct Target {
  Wire wire = Wire::kGemini;
  std::string host;         ///< as in the URL; also the SNI
  std::string requestLine;  ///< CRLF included; of uploads only what is before the name
  sockaddr_in address{};
};

/// All times are seconds.
struct Options {
  Target target;
  Target stallTarget;               ///< what kUnread asks for
  int connections = 64;             ///< open at once, over all processes
  std::uint64_t requests = 0;       ///< 0: until `seconds` are over
  double seconds = 0;               ///< 0: until `requests` are done
  double timeout = 30;              ///< of one request, from connect to the end of the answer
  double lid = 120;                 ///< of the whole run; what is unfinished then has timed out
  bool simultaneous = false;        ///< everyone connects first, then everyone speaks, once
  int processes = 0;                ///< 0: as many as the descriptor limit demands
  int sources = 1;                  ///< client addresses 127.0.0.1, 127.0.0.2, ...
  int stallSources = 0;             ///< the stalled ones' come after those; 0: they have none
  bool nagle = false;               ///< clients without TCP_NODELAY
  std::optional<std::string> body;  ///< what every answer must hold
  std::optional<std::uint64_t> bodyBytes;  ///< or only how long it must be
  std::string upload;  ///< what every client sends, each time under another name; "": it asks
  std::vector<Stall> stalls;
};

/// Ends the process with 64 and a word when the command line is wrong.
Options parseOptions(int argc, char** argv);

}  // namespace egalaxyd::load
