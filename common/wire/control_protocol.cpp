#include "common/wire/control_protocol.h"

#include <Poco/JSON/Parser.h>

#include <sstream>

#include "common/base/poco_seam.h"

namespace egalaxyd {
namespace {

ControlRequest readRequest(std::string_view line) {
  Poco::JSON::Parser parser;
  parser.setDepth(1);
  const auto object = parser.parse(std::string(line)).extract<Poco::JSON::Object::Ptr>();
  ControlRequest request;
  for (const auto& [name, value] : *object) {
    if (value.isEmpty() || !(value.isString() || value.isNumeric() || value.isBoolean())) {
      throw Poco::DataFormatException("a member is no plain value");
    }
    (name == "command" ? request.command : request.arguments[name]) = value.toString();
  }
  return request;
}

std::string encode(const Poco::JSON::Object& object) {
  std::ostringstream text;
  object.stringify(text);
  return text.str() + "\n";
}

}  // namespace

Result<ControlRequest> parseControlRequest(std::string_view line) {
  auto request = guarded("this is no request", [&] { return readRequest(line); });
  if (!request) return Error{ErrorCode::kInvalid, request.error().message};
  if (request->arguments["v"] != std::to_string(kControlVersion)) {
    return Error{ErrorCode::kInvalid, "this server speaks version 1: {\"v\":1,\"command\":...}"};
  }
  if (request->command.empty()) return Error{ErrorCode::kInvalid, "no command is given"};
  request->arguments.erase("v");
  return request;
}

std::string encodeControlRequest(const ControlRequest& request) {
  Poco::JSON::Object object = jsonObject();
  object.set("v", kControlVersion);
  object.set("command", request.command);
  for (const auto& [name, value] : request.arguments) object.set(name, value);
  return encode(object);
}

std::string encodeControlAnswer(const Poco::JSON::Object& answer) {
  auto text = guarded("answer", [&] { return encode(answer); });
  return text ? std::move(*text) : "{\"ok\":false,\"error\":\"the answer cannot be written\"}\n";
}

Poco::JSON::Array jsonArray(const std::vector<std::string>& texts) {
  Poco::JSON::Array list;
  for (const std::string& text : texts) list.add(text);
  return list;
}

Poco::JSON::Object controlSuccess() {
  Poco::JSON::Object answer = jsonObject();
  answer.set("ok", true);
  return answer;
}

Poco::JSON::Object controlFailure(const std::string& error,
                                  const std::vector<std::string>& complaints) {
  Poco::JSON::Object answer = jsonObject();
  answer.set("ok", false);
  answer.set("error", error);
  if (!complaints.empty()) answer.set("complaints", jsonArray(complaints));
  return answer;
}

}  // namespace egalaxyd
