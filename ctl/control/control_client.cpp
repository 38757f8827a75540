#include "ctl/control/control_client.h"

#include <Poco/JSON/Array.h>
#include <Poco/JSON/Parser.h>
#include <grp.h>
#include <pwd.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <ostream>
#include <system_error>

#include "common/base/errno_error.h"
#include "common/base/poco_seam.h"
#include "common/base/unique_fd.h"
#include "common/system/server_folders.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

constexpr int kExitRefused = 1;

/// Of a server that this account started, the likeliest first, and of the machine's.
std::vector<fs::path> likelySockets() {
  const auto environment = PathEnvironment::ofProcess();
  const uid_t uid = ::geteuid();
  auto folders = runtimeFolders(environment, uid, stateFolders(environment, uid));
  if (uid != 0) folders.emplace_back("/run/egalaxyd");
  for (fs::path& folder : folders) folder /= kControlSocket;
  return folders;
}

/// The group that a file, or else its folder, is for; "" where that is root's or has no name.
std::string groupOf(const fs::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0 && ::stat(file.parent_path().c_str(), &info) != 0) return "";
  const group* named = info.st_gid == 0 ? nullptr : ::getgrgid(info.st_gid);
  return named == nullptr ? "" : named->gr_name;
}

/// kPermission: what to do about a socket that is there, or in a folder that is closed.
Error noRights(const fs::path& socket) {
  const passwd* account = ::getpwuid(::geteuid());
  const std::string user = account == nullptr ? "NAME" : account->pw_name;
  const std::string named = groupOf(socket);
  const std::string join =
      named.empty()
          ? ""
          : fmt::format(", or join its group with \"sudo usermod -aG {} {}\" and log in again",
                        named, user);
  return {ErrorCode::kPermission,
          fmt::format("{} may not use {}, where a server answers if it runs: use sudo{}",
                      account == nullptr ? "this account" : user, socket.string(), join)};
}

/// A Poco::Net::StreamSocket would take as many lines: ENOENT, ECONNREFUSED and EPIPE mean
/// different things here, and it makes an exception of each.
Result<UniqueFd> connectTo(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{ErrorCode::kInvalid, path + " is too long for a socket"};
  }
  path.copy(address.sun_path, path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errnoError("make a socket", errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return fd;
  }
  if (errno == ECONNREFUSED || errno == ENOENT) {
    return Error{ErrorCode::kNotFound, "no server answers at " + path};
  }
  if (errno == EACCES || errno == EPERM) return noRights(path);
  return errnoError("connect to " + path, errno);
}

Result<void> sendLine(int fd, const std::string& line) {
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t sent = ::send(fd, line.data() + done, line.size() - done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EPIPE) break;  // its answer may tell why
    if (sent < 0) return errnoError("ask the server", errno);
    done += static_cast<std::size_t>(sent);
  }
  return {};
}

/// What the server sends.
class Incoming {
 public:
  explicit Incoming(int fd) : fd_(fd) {}

  /// Without its end.
  Result<std::string> line() {
    std::size_t end = 0;
    while ((end = here_.find('\n')) == std::string::npos) {
      if (auto got = more(); !got) return got.error();
    }
    std::string text = here_.substr(0, end);
    here_.erase(0, end + 1);
    return text;
  }
  Result<void> bytes(std::size_t count, const TakeBytes& take) {
    while (count > 0) {
      if (here_.empty()) {
        if (auto got = more(); !got) return got;
      }
      const std::size_t part = std::min(count, here_.size());
      if (auto taken = take(std::string_view(here_).substr(0, part)); !taken) return taken;
      here_.erase(0, part);
      count -= part;
    }
    return {};
  }

 private:
  Result<void> more() {
    std::array<char, 64 * 1024> bytes;
    ssize_t got = 0;
    do {
      got = ::recv(fd_, bytes.data(), bytes.size(), 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return errnoError("hear the server", errno);
    if (got == 0) return Error{ErrorCode::kIo, "the server left without an answer"};
    here_.append(bytes.data(), static_cast<std::size_t>(got));
    return {};
  }

  int fd_;
  std::string here_;
};

Result<Poco::JSON::Object::Ptr> readAnswer(const std::string& line) {
  return guarded("the server's answer", [&] {
    Poco::JSON::Parser parser(new Poco::JSON::ParseHandler(/*preserveObjectOrder=*/true));
    return parser.parse(line).extract<Poco::JSON::Object::Ptr>();
  });
}

/// The answer, once all bytes before it are taken.
Result<Poco::JSON::Object::Ptr> hearAnswer(int fd, const TakeBytes& take) {
  for (Incoming incoming(fd);;) {
    const auto line = incoming.line();
    if (!line) return line.error();
    auto answer = readAnswer(*line);
    if (!answer || (*answer)->has("ok")) return answer;
    const auto count = guarded("the server's answer",
                               [&] { return (*answer)->optValue<std::int64_t>("bytes", 0); });
    if (!count) return count.error();
    if (*count < 1 || *count > kMostControlBytes) {
      return Error{ErrorCode::kIo, "the server's answer is no answer"};
    }
    if (auto taken = incoming.bytes(static_cast<std::size_t>(*count), take); !taken) {
      return taken.error();
    }
  }
}

void printRefusal(const Invocation& invocation, const Poco::JSON::Object& answer) {
  if (const auto complaints = answer.getArray("complaints")) {
    for (const auto& complaint : *complaints)
      invocation.err << printable(complaint.toString()) << '\n';
  }
  const std::string why = answer.optValue<std::string>("error", "no reason given");
  invocation.err << "egalaxyctl: " << printable(why) << '\n';
}

}  // namespace

Result<std::string> controlSocketPath(const Invocation& invocation) {
  if (const auto given = invocation.options.find("socket"); given != invocation.options.end()) {
    return given->second;
  }
  std::vector<std::string> looked;
  std::optional<fs::path> closed;
  for (const fs::path& path : likelySockets()) {
    std::error_code failed;
    if (fs::exists(path, failed)) return path.string();
    if (failed == std::errc::permission_denied) closed = path;
    looked.push_back(path.string());
  }
  if (closed) return noRights(*closed);
  return Error{ErrorCode::kNotFound,
               fmt::format("no server is running: there is no {}; name its control.sock with "
                           "--socket if it has another server.runtime_dir",
                           fmt::join(looked, ", nor "))};
}

Result<Poco::JSON::Object::Ptr> askServer(const Invocation& invocation,
                                          const ControlRequest& request) {
  return askServer(invocation, request, [](std::string_view) -> Result<void> {
    return Error{ErrorCode::kIo, "the server's answer is no answer"};
  });
}

Result<Poco::JSON::Object::Ptr> askServer(const Invocation& invocation,
                                          const ControlRequest& request, const TakeBytes& take) {
  const auto path = controlSocketPath(invocation);
  if (!path) return path.error();
  const auto connected = connectTo(*path);
  if (!connected) return connected.error();
  if (auto sent = sendLine(connected->get(), encodeControlRequest(request)); !sent) {
    return sent.error();
  }
  return hearAnswer(connected->get(), take);
}

int printAnswer(const Invocation& invocation, const Result<Poco::JSON::Object::Ptr>& answer,
                void (*print)(const Invocation&, const Poco::JSON::Object&)) {
  if (!answer) {
    const int code = complain(invocation, answer.error());
    return answer.error().code == ErrorCode::kNotFound ? kExitUnavailable : code;
  }
  const bool done = (*answer)->optValue("ok", false);
  if (invocation.has("json")) {
    printJson(invocation.out, *answer);
  } else if (!done) {
    printRefusal(invocation, **answer);
  } else {
    const auto printed = guarded("the server's answer", [&] { print(invocation, **answer); });
    if (!printed) return complain(invocation, printed.error());
  }
  return done ? 0 : kExitRefused;
}

int askAndPrint(const Invocation& invocation, const ControlRequest& request,
                void (*print)(const Invocation&, const Poco::JSON::Object&)) {
  return printAnswer(invocation, askServer(invocation, request), print);
}

}  // namespace egalaxyd::ctl
