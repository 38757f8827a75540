#include "master/supervise/account_look.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"
#include "common/base/write_all.h"
#include "common/loop/event_loop.h"
#include "master/child/forked_process.h"
#include "master/supervise/rehearsal.h"

namespace egalaxyd {
namespace {

constexpr auto kLookPatience = std::chrono::seconds(10);
/// More than any look has to say.
constexpr std::size_t kMostSeenBytes = 16 * 1024 * 1024;

/// Reads to the end, or as long as it may take.
Result<std::string> readReport(int fd) {
  const Clock::time_point end = Clock::now() + kLookPatience;
  std::string text;
  std::array<char, 4096> part;
  while (text.size() < kMostSeenBytes) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd wanted{fd, POLLIN, 0};
    const int ready = left <= 0 ? 0 : ::poll(&wanted, 1, static_cast<int>(left));
    if (ready == 0) return Error{ErrorCode::kBusy, "a disk or mount does not answer"};
    if (ready < 0 && errno == EINTR) continue;
    const ssize_t got = ready < 0 ? -1 : ::read(fd, part.data(), part.size());
    if (got < 0) return errnoError("look", errno);
    if (got == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return Error{ErrorCode::kInvalid, "the look tells too much"};
}

int lookInChild(const std::optional<Account>& account, const std::function<Complaints()>& look,
                int fd) {
  Rehearsal seen;
  const auto dropped = account ? dropPrivileges(*account) : Result<void>();
  seen.complaints = dropped ? look() : Complaints{complaintOf("server.user", dropped.error())};
  return writeAll(fd, seen.encode()) == 0 ? 0 : 1;
}

/// `account`: what the process becomes, if anything.
Complaints lookFromChild(const std::optional<Account>& account,
                         const std::function<Complaints()>& look) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return {complaintOf("server.user", errnoError("pipe", errno))};
  }
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  auto child = forkProcess([&] { return lookInChild(account, look, writing.get()); });
  writing.reset();
  if (!child) return {complaintOf("server.user", child.error())};
  const auto text = readReport(reading.get());
  if (!text) killProcess(*child);
  // One that waits for a dead mount cannot be killed, and is not waited for.
  ::waitpid(child->pid, nullptr, text ? 0 : WNOHANG);
  auto seen = text ? Rehearsal::decode(*text) : Result<Rehearsal>(text.error());
  if (seen) return std::move(seen->complaints);
  const std::string as = account ? " as " + account->user : "";
  return {{"server.user", "the roots could not be looked at" + as + ": " + seen.error().message}};
}

}  // namespace

Complaints lookAs(const std::optional<Account>& account, const std::function<Complaints()>& look) {
  return account ? lookFromChild(account, look) : look();
}

Complaints lookApart(const std::function<Complaints()>& look) {
  return lookFromChild(std::nullopt, look);
}

}  // namespace egalaxyd
