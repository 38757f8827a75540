// content verify, content import: this host's files beside what the shared database has.
#include <spdlog/fmt/fmt.h>

#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>

#include "common/base/path.h"
#include "common/cluster/own_sight.h"
#include "common/content/content_tools.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/control/shared_database.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;
using Poco::JSON::Object;

/// This program's own row among those of connections that write.
constexpr std::string_view kToolLane = "egalaxyctl/0";

/// Lines for people at once, rows for --json at the end.
class FilesTold {
 public:
  explicit FilesTold(const Invocation& invocation) : invocation_(invocation) {}

  TellOfFile teller() {
    return [this](std::string_view host, std::string_view path, std::string_view what) {
      tell(host, path, what);
    };
  }
  const Poco::JSON::Array& rows() const { return rows_; }

 private:
  void tell(std::string_view host, std::string_view path, std::string_view what) {
    if (!invocation_.has("json")) {
      invocation_.out << fmt::format("{}{} {}\n", printable(host), printable(path),
                                     printable(what));
      return;
    }
    Object row = jsonObject();
    row.set("host", printable(host));
    row.set("path", printable(path));
    row.set("what", printable(what));
    rows_.add(row);
  }

  const Invocation& invocation_;
  Poco::JSON::Array rows_;
};

}  // namespace

int verifyContentFiles(const Invocation& invocation) {
  const auto config = namedConfiguration(invocation);
  if (!config) return complain(invocation, config.error());
  const auto database = openSharedDatabase(*config);
  if (!database) return complain(invocation, database.error());
  OwnSight sight;
  const auto link = database->engine->openLink(database->access, sight);
  if (!link) return complain(invocation, link.error());
  FilesTold told(invocation);
  const auto verified = verifyContent(*config, **link, told.teller());
  if (!verified) return complain(invocation, verified.error());
  if (invocation.has("json")) {
    Object object = jsonObject();
    object.set("same", verified->same);
    object.set("different", verified->different);
    object.set("files", told.rows());
    printJson(invocation.out, object);
  } else {
    invocation.out << fmt::format("{} files as the database has them, {} not\n", verified->same,
                                  verified->different);
  }
  return verified->different == 0 ? 0 : 1;
}

int importContentFolder(const Invocation& invocation) {
  const auto config = namedConfiguration(invocation);
  if (!config) return complain(invocation, config.error());
  std::error_code ignored;  // then the path stays as it was given
  const fs::path folder = fs::absolute(invocation.arguments.front(), ignored).lexically_normal();
  const auto database = openSharedDatabase(*config);
  if (!database) return complain(invocation, database.error());
  OwnSight sight;
  const auto storage = database->engine->openStorage(database->access, kToolLane, {}, sight);
  if (!storage) return complain(invocation, storage.error());
  FilesTold told(invocation);
  const auto imported = importContent(*config, **storage, folder, told.teller());
  if (!imported) return complain(invocation, imported.error());
  if (invocation.has("json")) {
    Object object = jsonObject();
    object.set("same", imported->same);
    object.set("stored", imported->stored);
    object.set("failed", imported->failed);
    object.set("files", told.rows());
    printJson(invocation.out, object);
  } else {
    invocation.out << fmt::format("{} stored, {} there already, {} failed\n", imported->stored,
                                  imported->same, imported->failed);
  }
  return imported->failed == 0 ? 0 : 1;
}

}  // namespace egalaxyd::ctl
