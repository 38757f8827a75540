// storage copy: from a single host's database into the one that several share, and back.
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/content/upload_place.h"
#include "common/storage/schema.h"
#include "common/system/instance_lock.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/control/shared_database.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;
using Poco::JSON::Object;

constexpr std::string_view kSqlite = "sqlite:";

/// What the line asks for.
struct CopyLine {
  fs::path file;
  bool from = false;
  bool merge = false;
};

/// nullopt: `why` it makes no sense.
std::optional<CopyLine> readLine(const Invocation& invocation, std::string& why) {
  const auto from = invocation.options.find("from");
  const auto to = invocation.options.find("to");
  const bool isFrom = from != invocation.options.end();
  if (isFrom == (to != invocation.options.end())) {
    why = "one of --from sqlite:FILE and --to sqlite:FILE is wanted";
    return std::nullopt;
  }
  const std::string& place = isFrom ? from->second : to->second;
  if (!place.starts_with(kSqlite) || place.size() == kSqlite.size()) {
    why = fmt::format("'{}' is not sqlite:FILE", place);
    return std::nullopt;
  }
  if (!isFrom && invocation.has("merge")) {
    why = "--merge goes with --from alone: what --to makes is new";
    return std::nullopt;
  }
  std::error_code ignored;  // then the path stays as it was given
  return CopyLine{fs::absolute(place.substr(kSqlite.size()), ignored), isFrom,
                  invocation.has("merge")};
}

/// The folders of the configuration.
class ConfiguredFolders final : public UploadFolders {
 public:
  ConfiguredFolders(const Invocation& invocation, const Config& config)
      : invocation_(invocation), trees_(uploadTreesOf(config)) {}

  Result<UniqueFd> open(const UploadRecord& record) override {
    const auto place = placeOf(trees_, record);
    if (!place) return place.error();
    auto opened = place->root.open(place->relative, Waiting::kAllowed);
    if (!opened) return opened.error();
    if (opened->isFolder()) return Error{ErrorCode::kNotFound, "there is a folder of that name"};
    return std::move(opened->fd);
  }
  void leftOut(const UploadRecord& record, const std::string& why) override {
    ++leftOut_;
    invocation_.err << fmt::format("egalaxyctl: {}{}: {}\n", printable(record.host),
                                   printable(record.path), printable(why));
  }
  std::uint64_t leftOut() const { return leftOut_; }

 private:
  const Invocation& invocation_;
  UploadTrees trees_;
  std::uint64_t leftOut_ = 0;
};

/// As the server takes it, which does not run and is not started meanwhile.
Result<InstanceLock> lockStopped(const fs::path& state) {
  std::error_code ignored;
  fs::create_directories(state, ignored);  // on a host that is new
  struct stat info {};
  if (::stat(state.c_str(), &info) != 0) return errnoError("look at " + state.string(), errno);
  const AsOwner owner(info);
  auto lock = InstanceLock::take(state);
  if (lock || lock.error().code != ErrorCode::kExists) return lock;
  return Error{ErrorCode::kExists, "the server runs with the state in " + state.string() +
                                       ": stop it first, so that nothing changes meanwhile"};
}

Result<CopiedRows> copyBack(const SharedDatabase& database, const fs::path& file) {
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(file, ignored))) {
    return Error{ErrorCode::kExists, file.string() + ": is there already; move it away first"};
  }
  if (auto made = migrateStorage(file); !made) return made.error();
  auto copied = database.engine->copyTo(database.access, file);
  // Half of it would look like all of it.
  if (!copied) {
    for (const char* ending : {"-wal", "-shm", ""}) fs::remove(file.string() + ending, ignored);
  }
  return copied;
}

int tell(const Invocation& invocation, const CopyLine& line, const CopiedRows& copied,
         std::uint64_t leftOut) {
  if (invocation.has("json")) {
    Object object = jsonObject();
    object.set("file", line.file.string());
    object.set("users", copied.users);
    object.set("metadata", copied.metadata);
    object.set("uploads", copied.uploads);
    object.set("versions", copied.versions);
    object.set("contents", copied.contents);
    object.set("left_out", leftOut);
    printJson(invocation.out, object);
    return 0;
  }
  invocation.out << fmt::format(
      "copied {} {}: {} users, {} values of metadata, {} upload records, {} versions, {} "
      "contents\n",
      line.from ? "from" : "to", printable(line.file.string()), copied.users, copied.metadata,
      copied.uploads, copied.versions, copied.contents);
  if (leftOut > 0) {
    invocation.out << fmt::format(
        "{} files are not as their records say, and stay this host's own; egalaxyctl content "
        "import FOLDER stores them\n",
        leftOut);
  }
  return 0;
}

}  // namespace

int copyStorage(const Invocation& invocation) {
  std::string why;
  const auto line = readLine(invocation, why);
  if (!line) return refuseLine(invocation, "storage copy", why);
  const auto config = namedConfiguration(invocation);
  if (!config) return complain(invocation, config.error());
  const auto stopped = lockStopped(config->server.stateDir);
  if (!stopped) return complain(invocation, stopped.error());
  const auto database = openSharedDatabase(*config);
  if (!database) return complain(invocation, database.error());
  ConfiguredFolders folders(invocation, *config);
  const auto copied =
      line->from ? database->engine->copyFrom(database->access, line->file, line->merge, folders)
                 : copyBack(*database, line->file);
  if (!copied) return complain(invocation, copied.error());
  return tell(invocation, *line, *copied, folders.leftOut());
}

}  // namespace egalaxyd::ctl
