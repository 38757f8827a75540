#include "ctl/base/json_output.h"

#include <Poco/JSON/Stringifier.h>
#include <spdlog/fmt/fmt.h>

#include <ostream>
#include <sstream>
#include <string_view>

namespace egalaxyd::ctl {

void printJson(std::ostream& out, const Poco::Dynamic::Var& value) {
  std::ostringstream text;
  Poco::JSON::Stringifier::stringify(value, text, 2);
  const std::string whole = text.str();
  for (std::string_view rest = whole; !rest.empty();) {
    const std::size_t length = rest.front() == '\n' ? 1 : printableLength(rest);
    if (length > 0) {
      out << rest.substr(0, length);
      rest.remove_prefix(length);
      continue;
    }
    // C1 is U+0080 to U+009F, and its second byte says which; what is no UTF-8 is no character.
    const auto byte = static_cast<unsigned char>(rest.front());
    const auto next = static_cast<unsigned char>(rest.size() > 1 ? rest[1] : 0);
    const bool isC1 = byte == 0xC2 && next >= 0x80 && next < 0xA0;
    out << fmt::format("\\u{:04x}", isC1 ? next : byte < 0x80 ? byte : 0xFFFD);
    rest.remove_prefix(isC1 ? 2 : 1);
  }
  out << '\n';
}

}  // namespace egalaxyd::ctl
