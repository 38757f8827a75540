#include "ctl/client/known_hosts.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>

#include "common/base/environment.h"
#include "common/base/errno_error.h"
#include "common/base/regular_file.h"
#include "common/base/unfinished_file.h"
#include "common/base/unique_fd.h"
#include "common/base/units.h"
#include "common/base/write_all.h"
#include "common/wire/host_name.h"
#include "ctl/base/command_table.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFileBytes = 16 << 20;
/// Whoever holds the lock writes a small file; longer than this does one that is stopped.
constexpr std::chrono::seconds kLockPatience{10};
constexpr std::string_view kKeyPrefix = "SHA256:";
constexpr std::string_view kHead =
    "# Whom egalaxyctl trusts: host, port, public key, end of its certificate, known since.\n"
    "# A host whose line is taken out is trusted anew, whatever it shows then.\n";

using Line = std::pair<KnownHosts::Name, KnownKey>;

std::optional<Line> parseLine(std::string_view text) {
  const auto words = splitWords(text);
  if (words.size() != 5 || canonicalHost(words[0]) != words[0]) return std::nullopt;
  const auto port = parseNumber(words[1], 1, 65535);
  const std::string_view key = words[2];
  if (!port || !key.starts_with(kKeyPrefix) || !parseTime(words[4])) return std::nullopt;
  const std::string_view digits = key.substr(kKeyPrefix.size());
  if (digits.size() != 64 || digits.find_first_not_of("0123456789abcdef") != digits.npos) {
    return std::nullopt;
  }
  return Line{{words[0], static_cast<std::uint16_t>(*port)},
              {{std::string(digits), words[3]}, words[4]}};
}

std::string lineText(const KnownHosts::Name& host, const KnownKey& known) {
  return fmt::format("{} {} {}{} {} {}\n", host.first, host.second, kKeyPrefix, known.key.sha256,
                     known.key.until, known.since);
}

bool holdsEntry(std::string_view line) {
  return line.find_first_not_of(' ') != line.npos && !line.starts_with('#');
}

/// Calls `each(line, number)`, without the line feed, until it gives false.
template <class Each>
void forEachLine(std::string_view text, Each each) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (!each(text.substr(0, end), number)) return;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

/// "" for a file that is not there, or in a folder that does not let us look.
Result<std::string> textOf(const fs::path& file) {
  auto text = readRegularFile(file, kMaxFileBytes);
  if (text) return text;
  struct stat info {};
  if (text.error().code == ErrorCode::kNotFound || ::lstat(file.c_str(), &info) != 0) {
    return std::string();
  }
  return Error{text.error().code,
               fmt::format("{}: {}; without it nobody knows which hosts to trust", file.string(),
                           text.error().message)};
}

/// As `text`, but for the line of `host`.
std::string withLine(std::string_view text, const KnownHosts::Name& host, const KnownKey& known) {
  std::string all(text.empty() ? kHead : "");
  forEachLine(text, [&](std::string_view line, std::size_t) {
    const auto entry = holdsEntry(line) ? parseLine(line) : std::nullopt;
    if (!entry || entry->first != host) all.append(line).append("\n");
    return true;
  });
  return all + lineText(host, known);
}

/// The caller holds the lock, so nobody else uses the temporary name, and what a killed process
/// left there goes.
Result<void> replace(const fs::path& file, std::string_view text) {
  UnfinishedFile temporary(file.string() + ".new");
  ::unlink(temporary.name().c_str());
  const auto fd = temporary.make();
  if (!fd) return fd.error();
  int failed = writeAll(fd->get(), text);
  if (failed == 0 &&
      (::fsync(fd->get()) != 0 || ::rename(temporary.name().c_str(), file.c_str()) != 0)) {
    failed = errno;
  }
  if (failed != 0) return errnoError("write " + file.string(), failed);
  temporary.keep();
  return {};
}

/// Several egalaxyctl write one after the other.
Result<UniqueFd> lock(const fs::path& file) {
  std::error_code ignored;  // then the lock cannot be opened, and that says why
  fs::create_directories(file.parent_path().parent_path(), ignored);
  ::mkdir(file.parent_path().c_str(), 0700);
  const std::string name = file.string() + ".lock";
  UniqueFd fd(::open(name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return errnoError("open " + name, errno);
  const auto end = std::chrono::steady_clock::now() + kLockPatience;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return errnoError("lock " + name, errno);
    if (std::chrono::steady_clock::now() >= end) {
      return Error{ErrorCode::kBusy, name + ": another process holds it"};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return fd;
}

std::string now() {
  return timeText(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
}

Error stranger(const KnownHosts::Name& host, const KnownKey& known, const HostKey& shown) {
  return {ErrorCode::kPermission,
          fmt::format(
              "{} port {} shows another key than the one that is known; nothing was sent to it\n"
              "known: {}{}, since {}; its certificate's end: {}\n"
              "shown: {}{}; its certificate's end: {}\n"
              "if its owner has changed the key, --trust takes the new one; else somebody stands "
              "between",
              host.first, host.second, kKeyPrefix, known.key.sha256, known.since, known.key.until,
              kKeyPrefix, shown.sha256, shown.until)};
}

/// The caller tells kPermission, a stranger, from what the operating system says.
Error notWritten(const Error& error) { return {ErrorCode::kIo, error.message}; }

}  // namespace

fs::path KnownHosts::usualFile() {
  const fs::path xdg = environmentVariable("XDG_STATE_HOME");
  const fs::path home = environmentVariable("HOME");
  const char* name = "egalaxyctl/known_hosts";
  if (xdg.is_absolute()) return xdg / name;
  return home.is_absolute() ? home / ".local/state" / name : fs::path();
}

Result<KnownHosts> KnownHosts::read(fs::path file) {
  std::error_code missing;  // a link, as those have who keep such files elsewhere, stays one
  if (auto real = fs::canonical(file, missing); !missing) file = std::move(real);
  KnownHosts hosts(std::move(file));
  if (hosts.file_.empty()) return hosts;
  const auto text = textOf(hosts.file_);
  if (!text) return text.error();
  auto keys = parse(hosts.file_, *text);
  if (!keys) return keys.error();
  hosts.keys_ = std::move(*keys);
  return hosts;
}

Result<KnownHosts::Keys> KnownHosts::parse(const fs::path& file, std::string_view text) {
  Keys keys;
  std::string mistake;
  forEachLine(text, [&](std::string_view line, std::size_t number) {
    if (!holdsEntry(line)) return true;
    auto entry = parseLine(line);
    if (!entry) {
      mistake = fmt::format("line {} is not a host, its port, key, end and since when", number);
    } else if (!keys.insert(std::move(*entry)).second) {
      mistake = fmt::format("line {} has a host that stands there already", number);
    }
    return mistake.empty();
  });
  if (mistake.empty()) return keys;
  return Error{ErrorCode::kInvalid,
               fmt::format("{}: {}; mend it, take the line out or move the file away, so that it "
                           "is clear which hosts to trust",
                           file.string(), mistake)};
}

const KnownKey* KnownHosts::find(const Name& host) const {
  const auto known = keys_.find(host);
  return known == keys_.end() ? nullptr : &known->second;
}

Result<void> KnownHosts::judge(const Name& host, const HostKey& shown) const {
  const KnownKey* known = find(host);
  if (known == nullptr || known->key.sha256 == shown.sha256) return {};
  return stranger(host, *known, shown);
}

Result<void> KnownHosts::remember(const Name& host, const HostKey& shown, bool replaces) {
  const KnownKey* known = find(host);
  const bool sameKey = known != nullptr && known->key.sha256 == shown.sha256;
  if (sameKey && known->key.until == shown.until) return {};
  keys_[host] = {shown, sameKey ? known->since : now()};
  auto saved = save(host, replaces);
  // What is not kept of a known key is the end of its certificate.
  return sameKey && !saved && saved.error().code != ErrorCode::kPermission ? Result<void>() : saved;
}

Result<void> KnownHosts::save(const Name& host, bool replaces) {
  if (file_.empty()) {
    return Error{ErrorCode::kIo, "neither $XDG_STATE_HOME nor $HOME names a folder for it"};
  }
  const auto locked = lock(file_);
  if (!locked) return notWritten(locked.error());
  const auto text = textOf(file_);
  if (!text) return notWritten(text.error());
  const auto others = parse(file_, *text);
  if (!others) return notWritten(others.error());
  KnownKey& mine = keys_[host];
  if (const auto theirs = others->find(host); theirs != others->end()) {
    const bool sameKey = theirs->second.key.sha256 == mine.key.sha256;
    if (sameKey) mine.since = theirs->second.since;
    if (!sameKey && !replaces) {
      const HostKey shown = std::exchange(mine, theirs->second).key;
      return stranger(host, mine, shown);
    }
  }
  if (const auto written = replace(file_, withLine(*text, host, mine)); !written) {
    return notWritten(written.error());
  }
  return {};
}

}  // namespace egalaxyd::ctl
