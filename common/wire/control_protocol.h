// What egalaxyctl and the master say to each other on the control socket: one JSON object per line
// each way. {"v":1,"command":"status"} -> {"ok":true,...} or {"ok":false,"error":"..."}.
#pragma once

#include <Poco/JSON/Object.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace egalaxyd {

inline constexpr int kControlVersion = 1;
/// In the run-time folder.
inline constexpr const char* kControlSocket = "control.sock";
/// Rows of a list where none are asked for, and the most that can be.
inline constexpr std::int64_t kUsualControlRows = 50;
inline constexpr std::int64_t kMostControlRows = 1'000;
/// Longest request, its line end not counted.
inline constexpr std::size_t kMaxControlLine = 4096;

struct ControlRequest {
  std::string command;
  /// What else the object holds; numbers and booleans as they are written.
  std::map<std::string, std::string> arguments;

  /// "" where there is none of that name.
  std::string argument(const std::string& name) const {
    const auto found = arguments.find(name);
    return found == arguments.end() ? "" : found->second;
  }
};

/// Reads a line without its end. Fails with kInvalid when it is no flat JSON object of this
/// version with a command in it; the message is for the client. Pure.
Result<ControlRequest> parseControlRequest(std::string_view line);
/// The line that asks for it, with its end.
std::string encodeControlRequest(const ControlRequest& request);

/// An object whose members keep the order in which they were set.
inline Poco::JSON::Object jsonObject() { return Poco::JSON::Object(Poco::JSON_PRESERVE_KEY_ORDER); }

/// `answer` as a line with its end.
std::string encodeControlAnswer(const Poco::JSON::Object& answer);
/// {"ok":false,"error":...}, and "complaints" where there are any.
Poco::JSON::Object controlFailure(const std::string& error,
                                  const std::vector<std::string>& complaints = {});

}  // namespace egalaxyd
