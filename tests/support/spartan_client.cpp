#include "tests/support/spartan_client.h"

#include <ostream>
#include <regex>

namespace egalaxyd {

std::ostream& operator<<(std::ostream& out, const SpartanReply& reply) {
  return out << "\"" << reply.header << "\", " << reply.body.size() << " bytes, "
             << describe(reply.ending);
}

SpartanReply readSpartanReply(TcpClient& client) {
  static const std::regex legal("(2 [!-~]+/[!-~]+(;.*)?|3 /.*|[45] [\\t -~]+)");
  const std::string all = client.receiveAll();
  SpartanReply reply;
  reply.ending = client.ending();
  const auto end = all.find("\r\n");
  reply.header = all.substr(0, end);
  if (end == std::string::npos) return reply;
  reply.body = all.substr(end + 2);
  if (!std::regex_match(reply.header, legal) || reply.header.rfind("3 //", 0) == 0) return reply;
  reply.status = reply.header[0] - '0';
  reply.meta = reply.header.substr(2);
  return reply;
}

SpartanReply askSpartan(std::uint16_t port, std::string_view bytes, const TcpSettings& settings) {
  TcpClient client(port, settings);
  client.send(bytes);
  return readSpartanReply(client);
}

}  // namespace egalaxyd
