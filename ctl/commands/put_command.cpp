#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iostream>

#include "common/base/environment.h"
#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/wire/media_type.h"
#include "ctl/base/command_table.h"
#include "ctl/client/exchange.h"
#include "ctl/client/progress.h"
#include "ctl/client/upload_source.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenVariable = "EGALAXYCTL_TOKEN";

std::string lastSegment(const Target& target) {
  return target.uri.path.substr(target.uri.path.rfind('/') + 1);
}

/// Why the upload cannot be what the line asks for; "" when it can.
std::string mistakeIn(const Invocation& invocation, const std::string& file, const Target& target) {
  const auto mime = invocation.options.find("mime");
  const auto token = invocation.options.find("token");
  if (target.protocol == Protocol::kGemini) {
    return printable(target.url) + ": give a titan:// or spartan:// URL";
  }
  if (target.protocol == Protocol::kSpartan) {
    for (const char* option : {"cert", "delete", "key", "mime", "token"}) {
      if (invocation.has(option)) return fmt::format("Spartan knows no --{}", option);
    }
    if (target.uri.query) return "a query is Spartan's other way to send data: leave it out";
    return "";
  }
  if (lastSegment(target).find(';') != std::string::npos) {
    return "the URL's last part has a ';': Titan's parameters are made here, and one that belongs "
           "to the name is written %3B";
  }
  if (mime != invocation.options.end() && !isMediaType(mime->second)) {
    return fmt::format("--mime {} is no media type, as text/gemini is", mime->second);
  }
  if (token != invocation.options.end() && token->second == "-" && file == "-") {
    return "the standard input cannot be both the file and the token";
  }
  return "";
}

/// From --token, its standard input or the environment; "" without one. A command line is there for
/// all to read.
std::string tokenOf(const Invocation& invocation) {
  const auto given = invocation.options.find("token");
  if (given == invocation.options.end()) return environmentVariable(kTokenVariable);
  if (given->second != "-") {
    invocation.err << fmt::format(
        "egalaxyctl: everybody on this machine can see this token in the list of processes; give "
        "it in ${} or with --token - on the standard input\n",
        kTokenVariable);
    return given->second;
  }
  std::string line;
  std::getline(std::cin, line);
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

/// Said, or what the name of the file tells, or that of the page.
std::string mimeOf(const Invocation& invocation, const std::string& file, const Target& target) {
  const auto given = invocation.options.find("mime");
  if (given != invocation.options.end()) return given->second;
  const std::string page = percentDecode(lastSegment(target)).value_or("");
  for (const std::string& name : {fs::path(file).filename().string(), page}) {
    if (const auto type = mediaTypeOf(name); !type.empty()) return std::string(type);
  }
  return "application/octet-stream";
}

Error becameShorter() {
  return {ErrorCode::kIo, "the file became shorter while it was sent; nothing is stored"};
}

/// Stops early, and well, when the server answers before the end.
Result<void> sendBody(Connection& connection, UploadSource& source, std::ostream& err) {
  Progress progress(err, ::isatty(STDERR_FILENO) == 1, source.size);
  std::array<char, 64 * 1024> chunk;
  for (std::uint64_t left = source.size; left > 0;) {
    const ssize_t got =
        ::read(source.file.get(), chunk.data(), std::min<std::uint64_t>(left, chunk.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      source.failed = got < 0 ? errnoError("read the file", errno) : becameShorter();
      return *source.failed;
    }
    const auto count = static_cast<std::size_t>(got);
    const auto sent = connection.send({chunk.data(), count});
    if (!sent) return sent.error();
    if (!*sent) return {};
    left -= count;
    progress.advance(count);
  }
  return {};
}

Result<Answer> upload(const Target& target, const UploadLine& line, UploadSource& source,
                      const ConnectOptions& manner, const Invocation& invocation) {
  auto connection = connectTo(target, manner, true, invocation);
  if (!connection) return connection.error();
  const auto begun = connection->send(uploadRequest(target, line));
  if (!begun) return begun.error();
  if (*begun) {
    if (const auto sent = sendBody(*connection, source, invocation.err); !sent) return sent.error();
  }
  return readAnswer(std::move(*connection), target.protocol, invocation);
}

/// Where the upload can be read now, or what the server has to say.
int showOutcome(const Target& target, Answer& answer, const Invocation& invocation) {
  if (answer.line.kind != 3) return show(answer, invocation);
  if (!invocation.has("head")) invocation.out << printable(redirectTarget(target, answer)) << '\n';
  return 0;
}

int refuseEmpty(const Invocation& invocation, const std::string& file, const Target& target) {
  const char* why = target.protocol == Protocol::kTitan ? "to Titan, that deletes the page; if it "
                                                          "shall, say put --delete URL"
                                                        : "to Spartan, that is no upload";
  const std::string shown = file == "-" ? "the standard input" : file;
  return complain(invocation, {ErrorCode::kInvalid, fmt::format("{} is empty: {}", shown, why)});
}

}  // namespace

int putFile(const Invocation& invocation) {
  const bool deletes = invocation.has("delete");
  const auto& words = invocation.arguments;
  if (words.size() != (deletes ? 1U : 2U)) {
    return refuseLine(invocation, "put", deletes ? "--delete takes a URL alone" : "URL is missing");
  }
  const std::string file = deletes ? "" : words.front();
  const auto target = parseTarget(words.back(), Protocol::kTitan);
  if (!target) return refuseLine(invocation, "put", target.error().message);
  const std::string mistake = mistakeIn(invocation, file, *target);
  if (!mistake.empty()) return refuseLine(invocation, "put", mistake);
  int exitCode = 0;
  const auto manner = mannerOf(invocation, "put", exitCode);
  if (!manner) return exitCode;
  UploadSource source;
  if (!deletes) {
    auto opened = openUpload(file);
    if (!opened) return complain(invocation, opened.error());
    source = std::move(*opened);
    if (source.size == 0) return refuseEmpty(invocation, file, *target);
  }
  const UploadLine line{source.size, deletes ? "" : mimeOf(invocation, file, *target),
                        tokenOf(invocation)};
  auto answer = upload(*target, line, source, *manner, invocation);
  if (source.failed) return complain(invocation, *source.failed);
  if (!answer) return failExchange(invocation, answer.error());
  return showOutcome(*target, *answer, invocation);
}

}  // namespace egalaxyd::ctl
