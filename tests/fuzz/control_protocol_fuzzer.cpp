// Lines of a control client, as many as there are: each is a request that survives being written
// and read again, or is refused in words that make one line.
#include "common/wire/control_protocol.h"

#include <string>

#include "tests/fuzz/support.h"

namespace egalaxyd::fuzz {
namespace {

void requireOneLine(const std::string& text) {
  require(!text.empty() && text.find('\n') == text.size() - 1, "one line, and its end");
}

void checkRefusal(const std::string& message) {
  require(!message.empty(), "a reason");
  requireOneLine(encodeControlAnswer(controlFailure(message, {message})));
}

void checkRequest(const ControlRequest& request) {
  require(!request.command.empty(), "a command");
  require(!request.arguments.contains("v") && !request.arguments.contains("command"),
          "the version and the command are no arguments");
  std::string line = encodeControlRequest(request);
  requireOneLine(line);
  line.pop_back();
  const auto again = parseControlRequest(line);
  require(again.ok(), "what is written can be read");
  require(again->command == request.command && again->arguments == request.arguments,
          "what is written is read as it was");
}

void checkLine(std::string_view line) {
  const auto request = parseControlRequest(line);
  request ? checkRequest(*request) : checkRefusal(request.error().message);
}

}  // namespace

void control_protocol(std::string_view input) {
  for (std::size_t end = 0; (end = input.find('\n')) != std::string_view::npos;) {
    checkLine(input.substr(0, end));
    input.remove_prefix(end + 1);
  }
  checkLine(input);
}

}  // namespace egalaxyd::fuzz
