#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iostream>
#include <thread>

#include "common/base/environment.h"
#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/units.h"
#include "common/wire/media_type.h"
#include "ctl/base/command_table.h"
#include "ctl/client/exchange.h"
#include "ctl/client/progress.h"
#include "ctl/client/upload_plan.h"
#include "ctl/client/upload_source.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenVariable = "EGALAXYCTL_TOKEN";
/// In sum, for one file. The server says how long, and is not believed without end.
constexpr std::chrono::seconds kLongestWait{600};
/// Files in a row without an answer: the server has gone, and each may cost the whole --timeout.
constexpr int kMostUnanswered = 3;

/// What the files of one command share.
struct Putting {
  const Invocation& invocation;
  ConnectOptions manner;
  std::string token;
  Progress progress;
  bool several = false;      ///< messages name the file
  std::string label = {};    ///< of the file that is sent now: "3 of 12: "
  std::uint64_t before = 0;  ///< bytes of the files before it
  std::uint64_t total = 0;   ///< bytes of all
};

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
    for (const char* option : {"cert", "delete", "key", "mime", "token", "trust"}) {
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
Result<void> sendBody(Connection& connection, UploadSource& source, Progress& progress) {
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

Result<Answer> upload(Putting& putting, const Target& target, const UploadLine& line,
                      UploadSource& source) {
  putting.progress.goOnFrom(putting.label, putting.before, putting.total);
  auto connection = connectTo(target, putting.manner, true, putting.invocation);
  if (!connection) return connection.error();
  const auto begun = connection->send(uploadRequest(target, line));
  if (!begun) return begun.error();
  if (*begun) {
    const auto sent = sendBody(*connection, source, putting.progress);
    if (!sent) return sent.error();
  }
  return readAnswer(std::move(*connection), target.protocol, putting.invocation);
}

/// How long a server wants to be left alone; 0: it does not say so.
std::chrono::seconds pauseOf(const Target& target, const AnswerLine& line) {
  if (target.protocol != Protocol::kTitan || !line.text.starts_with("44")) return {};
  const auto seconds = parseNumber(line.meta, 0, INT32_MAX);
  return std::chrono::seconds(seconds ? std::max<std::int64_t>(*seconds, 1) : 0);
}

/// "notes/page.gmi: ", or "" where there is but one.
std::string nameIn(const Putting& putting, const std::string& file) {
  return putting.several ? printable(file) + ": " : "";
}

/// Tries again as long as the server asks to wait, within bounds.
Result<Answer> uploadPatiently(Putting& putting, const PlannedUpload& planned,
                               const UploadLine& line, UploadSource& source) {
  for (std::chrono::seconds waited{0};;) {
    auto answer = upload(putting, planned.target, line, source);
    const auto pause = answer ? pauseOf(planned.target, answer->line) : std::chrono::seconds(0);
    waited += pause;
    if (pause.count() == 0 || waited > kLongestWait) return answer;
    answer = Error{};  // hangs up
    putting.progress.wipe();
    putting.invocation.err << fmt::format(
        "egalaxyctl: {}the server asks to wait {} s; it is sent again then\n",
        nameIn(putting, planned.file), pause.count());
    std::this_thread::sleep_for(pause);
    if (auto again = rewind(source); !again) return again.error();
  }
}

/// Where the upload can be read now, or what the server has to say.
int showOutcome(const Putting& putting, const PlannedUpload& planned, Answer& answer) {
  const Invocation& invocation = putting.invocation;
  if (answer.line.kind == 3) {
    const std::string where = printable(redirectTarget(planned.target, answer));
    if (!invocation.has("head")) invocation.out << where << '\n';
    return 0;
  }
  if (answer.line.kind != 2 && !invocation.has("head")) {
    invocation.err << nameIn(putting, planned.file);
  }
  return show(answer, invocation);
}

Error isEmpty(const std::string& file, const Target& target) {
  const char* why = target.protocol == Protocol::kTitan ? "to Titan, that deletes the page; if it "
                                                          "shall, say put --delete URL"
                                                        : "to Spartan, that is no upload";
  const std::string shown = file == "-" ? "the standard input" : file;
  return {ErrorCode::kInvalid, fmt::format("{} is empty: {}", shown, why)};
}

/// One upload, or, of no file, one deletion; gives its exit code.
int put(Putting& putting, const PlannedUpload& planned) {
  const Invocation& invocation = putting.invocation;
  UploadSource source;
  UploadLine line{0, "", putting.token};
  if (!planned.file.empty()) {
    auto opened = openUpload(planned.file);
    if (!opened) return complain(invocation, opened.error());
    source = std::move(*opened);
    if (source.size == 0) return complain(invocation, isEmpty(planned.file, planned.target));
    line.size = source.size;
    line.mime = mimeOf(invocation, planned.file, planned.target);
  }
  if (!putting.several) putting.total = source.size;
  auto answer = uploadPatiently(putting, planned, line, source);
  putting.progress.wipe();
  const auto named = [&](const Error& error) {
    return Error{error.code, nameIn(putting, planned.file) + error.message};
  };
  if (source.failed) return complain(invocation, named(*source.failed));
  if (!answer) return failExchange(invocation, named(answer.error()));
  return showOutcome(putting, planned, *answer);
}

/// How it went with several files.
struct Tally {
  std::size_t tried = 0;
  std::size_t done = 0;
  std::uint64_t bytes = 0;
  int worst = 0;
};

void printSummary(const Invocation& invocation, const UploadPlan& plan, const Tally& tally) {
  const auto part = [](std::size_t count, const char* what) {
    return count == 0 ? "" : fmt::format("; {} {}", count, what);
  };
  const std::size_t all = plan.uploads.size();
  invocation.err << fmt::format(
      "egalaxyctl: {} of {} files uploaded, {}{}{}{}\n", tally.done, all + plan.failed.size(),
      bytesText(static_cast<double>(tally.bytes)),
      part(tally.tried - tally.done + plan.failed.size(), "failed"),
      part(all - tally.tried, "not tried"), part(plan.skipped.size(), "skipped"));
}

/// One after the other. A refusal keeps the others back no more than a file that cannot be read; a
/// server that is another than the known one, or has gone, does.
Tally putAll(Putting& putting, const UploadPlan& plan) {
  Tally tally;
  int unanswered = 0;
  for (const PlannedUpload& planned : plan.uploads) putting.total += planned.size;
  for (const PlannedUpload& planned : plan.uploads) {
    putting.label = fmt::format("{} of {}: ", ++tally.tried, plan.uploads.size());
    const int code = put(putting, planned);
    tally.worst = std::max(tally.worst, code);
    putting.before += planned.size;
    if (code == 0) {
      ++tally.done;
      tally.bytes += planned.size;
    }
    const bool isSilent = code == kExitUnavailable || code == kExitProtocol;
    unanswered = isSilent ? unanswered + 1 : 0;
    if (code == kExitStranger || unanswered == kMostUnanswered) break;
  }
  return tally;
}

int putSeveral(Putting& putting, const UploadPlan& plan) {
  const Invocation& invocation = putting.invocation;
  for (const std::string& skipped : plan.skipped) {
    invocation.err << "egalaxyctl: skipped " << printable(skipped) << '\n';
  }
  int worst = plan.uploads.empty() ? kExitNoInput : 0;
  for (const Error& failed : plan.failed) worst = std::max(worst, complain(invocation, failed));
  const Tally tally = putAll(putting, plan);
  printSummary(invocation, plan, tally);
  return std::max(worst, tally.worst);
}

/// Why the words of the line do not go together; "" when they do.
std::string mistakeIn(const std::vector<std::string>& sources, const Target& target, bool several) {
  if (!several) return "";
  if (std::ranges::find(sources, "-") != sources.end()) {
    return "the standard input goes to a URL of its own, alone";
  }
  if (target.uri.path.ends_with('/')) return "";
  return "what goes below a URL, several files or a folder, needs one that ends with '/'";
}

}  // namespace

int putFiles(const Invocation& invocation) {
  const bool deletes = invocation.has("delete");
  std::vector<std::string> sources = invocation.arguments;
  if (deletes ? sources.size() != 1 : sources.size() < 2) {
    return refuseLine(invocation, "put", deletes ? "--delete takes a URL alone" : "URL is missing");
  }
  const auto target = parseTarget(sources.back(), Protocol::kTitan);
  if (!target) return refuseLine(invocation, "put", target.error().message);
  sources.pop_back();
  const std::string file = sources.size() == 1 ? sources.front() : "";
  const bool several = sources.size() > 1 || isFolder(file);
  std::string mistake = mistakeIn(invocation, file, *target);
  if (mistake.empty()) mistake = mistakeIn(sources, *target, several);
  if (!mistake.empty()) return refuseLine(invocation, "put", mistake);
  int exitCode = 0;
  auto manner = mannerOf(invocation, "put", *target, exitCode);
  if (!manner) return exitCode;
  UploadPlan plan;
  if (several || (!deletes && file != "-" && target->uri.path.ends_with('/'))) {
    auto planned = planUploads(sources, *target);
    if (!planned) return complain(invocation, planned.error());
    plan = std::move(*planned);
  } else {
    plan.uploads.push_back({file, *target});
  }
  if (!several && !plan.failed.empty()) return complain(invocation, plan.failed.front());
  Putting putting{invocation, std::move(*manner), tokenOf(invocation),
                  Progress(invocation.err, ::isatty(STDERR_FILENO) == 1, std::nullopt), several};
  return several ? putSeveral(putting, plan) : put(putting, plan.uploads.front());
}

}  // namespace egalaxyd::ctl
