#include "master/child/storage_query.h"

#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <optional>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/path.h"
#include "common/base/units.h"
#include "common/cluster/own_sight.h"
#include "common/cluster/server_storage.h"
#include "common/config/people.h"
#include "master/child/shared_database.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Array;
using Poco::JSON::Object;

/// Bytes of texts in one answer, before JSON's escapes.
constexpr std::size_t kMostBytes = 256 * 1024;
/// Uploads that a user is shown with.
constexpr std::size_t kLastUploads = 10;

/// How long a query may wait for a worker's write.
constexpr int kRepeats = 5;  ///< where another host was met
constexpr auto kBusyTimeout = std::chrono::seconds(5);

/// The arguments of a request, each of which is looked at once; the first mistake stays.
class Arguments {
 public:
  explicit Arguments(const ControlRequest& request) : left_(request.arguments) {}

  std::optional<std::string> take(const std::string& name) {
    const auto found = left_.find(name);
    if (found == left_.end()) return std::nullopt;
    std::string value = std::move(found->second);
    left_.erase(found);
    return value;
  }

  std::int64_t number(const std::string& name, std::int64_t least, std::int64_t most,
                      std::int64_t otherwise) {
    const auto text = take(name);
    if (!text) return otherwise;
    if (const auto value = parseNumber(*text, least, most)) return *value;
    complain(fmt::format("{} \"{}\": a number from {} to {} is allowed", name, *text, least, most));
    return otherwise;
  }

  /// The beginning of a user's id, in small digits.
  std::string user(const std::string& name) {
    const auto given = take(name);
    if (!given) return "";
    std::string id = lowerCase(*given);
    const bool hex = id.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (id.empty() || id.size() > 64 || !hex) {
      complain(
          fmt::format("\"{}\" is no user: the first hex digits of an id are wanted, as the "
                      "list of users shows them",
                      *given));
    }
    return id;
  }

  /// "ann" of "@ann"; "" for anything else, which stays.
  std::string person(const std::string& name) {
    const auto found = left_.find(name);
    if (found == left_.end() || !found->second.starts_with('@')) return "";
    const std::string person = take(name)->substr(1);
    if (!isName(person)) complain(fmt::format("\"@{}\" is no name", person));
    return person;
  }

  void complain(std::string mistake) {
    if (mistake_.empty()) mistake_ = std::move(mistake);
  }
  const std::string& mistake() {
    if (!left_.empty()) complain("there is no argument " + left_.begin()->first);
    return mistake_;
  }

 private:
  std::map<std::string, std::string> left_;
  std::string mistake_;
};

void readFilter(Arguments& arguments, StorageQuery& query) {
  constexpr std::int64_t kYear9999 = 253'402'300'799;
  query.filter.host = lowerCase(arguments.take("host").value_or(""));
  query.filter.path = arguments.take("path").value_or("");
  if (!query.filter.path.empty() && query.filter.path.front() != '/') {
    arguments.complain("\"" + query.filter.path + "\" is no path: it begins with /");
  }
  query.filter.since = WallTime(std::chrono::seconds(arguments.number("since", 0, kYear9999, 0)));
  query.filter.writer = arguments.person("user");
  query.user = arguments.user("user");
}

Object failed(const Error& error) { return controlFailure(error.message); }

/// Rows under `name`, as many as a limit and the answer's size allow.
class Rows {
 public:
  explicit Rows(std::size_t limit) : limit_(limit) {}

  /// False: nothing more is taken.
  bool add(const Object& row, std::size_t bytes) {
    bytes_ += bytes;
    more_ = more_ || rows_.size() == limit_ || bytes_ > kMostBytes;
    if (!more_) rows_.add(row);
    return !more_;
  }
  void putInto(Object& answer, const std::string& name) const {
    answer.set(name, rows_);
    answer.set(name + "_more", more_);
  }

 private:
  std::size_t limit_;
  std::size_t bytes_ = 0;
  bool more_ = false;
  Array rows_;
};

/// A row may hold any bytes, and as many as it likes: JSON takes UTF-8 alone, people read it on
/// terminals, and one row must not crowd out the others.
std::string shown(std::string_view text) {
  constexpr std::size_t kLongest = 4096;  // longer than any path or name that a client can send
  return printable(text.substr(0, kLongest)) + (text.size() > kLongest ? "..." : "");
}

/// Public keys of a user that are listed.
constexpr std::size_t kMostKeys = 100;

/// As the configuration is today. Of a certificate that came later with the same key, the key alone
/// is known.
std::string nameOfUser(const User& user, const People& people) {
  std::string_view name = nameOf(people, user.id, user.id);
  for (const std::string& key : user.keys) {
    if (name.empty()) name = nameOf(people, key, key);
  }
  return std::string(name);
}

Object describe(const User& user, const People& people) {
  Object object = jsonObject();
  Array keys;
  for (const std::string& key : user.keys) {
    if (keys.size() == kMostKeys) break;
    keys.add(shown(key));
  }
  object.set("id", shown(user.id));
  object.set("name", nameOfUser(user, people));
  object.set("claimed", claimedName(user.claimed));
  object.set("first_seen", unixTime(user.firstSeen));
  object.set("last_seen", unixTime(user.lastSeen));
  object.set("visits", user.visits);
  object.set("keys", keys);
  return object;
}

Object describe(const UploadRecord& record, std::string_view outcome) {
  Object object = jsonObject();
  object.set("id", record.id);
  object.set("time", unixTime(record.time));
  object.set("outcome", std::string(outcome));
  object.set("protocol", shown(record.protocol));
  object.set("host", shown(record.host));
  object.set("path", shown(record.path));
  object.set("user", shown(record.user));
  object.set("writer", shown(record.writer));
  object.set("client", shown(record.client));
  object.set("mime", shown(record.mime));
  object.set("size", record.size);
  object.set("sha256", shown(record.sha256));
  object.set("previous_sha256", shown(record.previousSha256));
  object.set("why", shown(record.why));
  return object;
}

/// In an answer, roughly.
std::size_t sizeOf(const Object& row) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : row) {
    bytes += name.size() + 10 + (value.isString() ? value.extract<std::string>().size() : 0);
  }
  return bytes;
}

/// Characters that can be shown, and line ends and tabs.
bool isText(std::string_view value) {
  while (!value.empty()) {
    const bool space = value.front() == '\n' || value.front() == '\r' || value.front() == '\t';
    const std::size_t length = space ? 1 : printableLength(value);
    if (length == 0) return false;
    value.remove_prefix(length);
  }
  return true;
}

Object describeValue(const std::string& key, const std::string& value) {
  Object object = jsonObject();
  object.set("key", shown(key));
  object.set("bytes", value.size());
  if (isText(value)) {
    object.set("value", value);
  } else {
    std::string hex;
    for (const char byte : value) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    object.set("hex", hex);
  }
  return object;
}

Result<Rows> uploadRows(Storage& storage, UploadFilter filter, std::size_t limit) {
  filter.limit = limit + 1;
  const auto records = storage.listUploads(filter);
  if (!records) return records.error();
  Rows rows(limit);
  for (const UploadRecord& record : *records) {
    const Object row = describe(record, toString(record.outcome));
    if (!rows.add(row, sizeOf(row))) break;
  }
  return rows;
}

/// Of those that may have happened or not: what a client was told to be unknown, and the few that
/// are under way at this moment.
Result<Rows> pendingRows(Storage& storage, const UploadFilter& filter, std::size_t limit) {
  constexpr std::size_t kBatch = 256;
  Rows rows(limit);
  for (std::int64_t after = std::numeric_limits<std::int64_t>::min();;) {
    const auto records = storage.pendingUploads(after, kBatch);
    if (!records) return records.error();
    if (records->empty()) return rows;
    after = records->back().id;
    for (const UploadRecord& record : *records) {
      const bool wanted = record.time >= filter.since && isBeneath(record.path, filter.path) &&
                          (filter.host.empty() || record.host == filter.host) &&
                          (filter.user.empty() || record.user == filter.user) &&
                          (filter.writer.empty() || record.writer == filter.writer);
      if (!wanted) continue;
      const Object row = describe(record, "pending");
      if (!rows.add(row, sizeOf(row))) return rows;
    }
  }
}

Result<Object> listUsers(const StorageQuery& query, Storage& storage, const People& people) {
  const auto users = storage.listUsers(query.limit + 1);
  if (!users) return users.error();
  Rows rows(query.limit);
  for (const User& user : *users) {
    if (!rows.add(describe(user, people), (std::min(user.keys.size(), kMostKeys) + 3) * 70)) break;
  }
  Object answer = controlSuccess();
  rows.putInto(answer, "users");
  return answer;
}

Result<Object> showUser(const StorageQuery& query, Storage& storage, const People& people) {
  const auto user = storage.showUser(query.user);
  if (!user) return user.error();
  const auto metadata = storage.readMetadata(user->id);
  if (!metadata) return metadata.error();
  Rows values(kMostControlRows);
  for (const auto& [key, value] : *metadata) {
    if (!values.add(describeValue(key, value), key.size() + value.size())) break;
  }
  const auto uploads = uploadRows(storage, {.user = user->id}, kLastUploads);
  if (!uploads) return uploads.error();
  Object answer = controlSuccess();
  answer.set("user", describe(*user, people));
  values.putInto(answer, "metadata");
  uploads->putInto(answer, "uploads");
  return answer;
}

Result<Object> forgetUser(const StorageQuery& query, Storage& storage) {
  const auto user = storage.showUser(query.user);
  if (!user) return user.error();
  const auto gone = storage.forgetUser(user->id);
  if (!gone) return gone.error();
  Object answer = controlSuccess();
  answer.set("user", shown(user->id));
  answer.set("keys", gone->keys);
  answer.set("metadata", gone->metadata);
  answer.set("uploads", gone->uploads);
  return answer;
}

Result<Object> listUploads(const StorageQuery& query, Storage& storage) {
  UploadFilter filter = query.filter;
  if (!query.user.empty()) {
    const auto user = storage.showUser(query.user);
    if (!user) return user.error();
    filter.user = user->id;
  }
  const auto rows = uploadRows(storage, filter, query.limit);
  if (!rows) return rows.error();
  const auto pending = pendingRows(storage, filter, query.limit);
  if (!pending) return pending.error();
  Object answer = controlSuccess();
  rows->putInto(answer, "uploads");
  pending->putInto(answer, "pending");
  return answer;
}

Result<Object> showUpload(const StorageQuery& query, Storage& storage) {
  const auto record = storage.showUpload(query.upload);
  if (!record) return record.error();
  Object answer = controlSuccess();
  answer.set("upload", describe(*record, toString(record->outcome)));
  return answer;
}

bool isStorageQuery(ControlCommand command) {
  constexpr std::array kQueries{ControlCommand::kUsers, ControlCommand::kUser,
                                ControlCommand::kForgetUser, ControlCommand::kUploads,
                                ControlCommand::kUpload};
  return std::ranges::find(kQueries, command) != kQueries.end();
}

Result<Object> answerOf(const StorageQuery& query, Storage& storage, const People& people) {
  switch (query.command) {
    case ControlCommand::kUsers:
      return listUsers(query, storage, people);
    case ControlCommand::kUser:
      return showUser(query, storage, people);
    case ControlCommand::kForgetUser:
      return forgetUser(query, storage);
    case ControlCommand::kUploads:
      return listUploads(query, storage);
    case ControlCommand::kUpload:
      return showUpload(query, storage);
    default:
      return Error{ErrorCode::kInvalid, "no such query"};
  }
}

/// What forgetting a user changes: whoever writes for the user meanwhile has one of these.
StorageKeys keysOfUser(const StorageQuery& query, Storage& storage) {
  StorageKeys keys;
  const auto user = storage.showUser(query.user);
  if (!user) return keys;
  for (const std::string& key : user->keys) keys.push_back(userKey(key));
  return keys;
}

}  // namespace

Result<StorageQuery> readStorageQuery(const ControlRequest& request) {
  const auto command = parseControlCommand(request.command);
  if (!command || !isStorageQuery(*command)) {
    return Error{ErrorCode::kInvalid, "no such query: " + request.command};
  }
  StorageQuery query{.command = *command};
  Arguments arguments(request);
  if (query.command == ControlCommand::kUsers || query.command == ControlCommand::kUploads) {
    query.limit =
        static_cast<std::size_t>(arguments.number("limit", 1, kMostControlRows, kUsualControlRows));
  }
  if (query.command == ControlCommand::kUploads) readFilter(arguments, query);
  if (query.command == ControlCommand::kUser || query.command == ControlCommand::kForgetUser) {
    query.user = arguments.user("id");
    if (query.user.empty()) arguments.complain("the user's id is missing");
  }
  if (query.command == ControlCommand::kUpload) {
    query.upload = arguments.number("id", 1, INT64_MAX, 0);
    if (query.upload == 0) arguments.complain("the upload's id is missing");
  }
  if (!arguments.mistake().empty()) return Error{ErrorCode::kInvalid, arguments.mistake()};
  return query;
}

Object answerStorageQuery(const StorageQuery& query, Storage& storage, const People& people) {
  const Access access =
      query.command == ControlCommand::kForgetUser ? Access::kWrite : Access::kRead;
  const StorageKeys keys = access == Access::kWrite ? keysOfUser(query, storage) : StorageKeys();
  const auto ask = [&] { return answerOf(query, storage, people); };
  Result<Object> answer = atomically(storage, access, ask, keys);
  for (int i = 0; i < kRepeats && !answer && answer.error().code == ErrorCode::kAgain; ++i) {
    answer = atomically(storage, access, ask, keys);
  }
  return answer ? *answer : failed(answer.error());
}

Object askDatabase(const StorageQuery& query, const Config& config,
                   const std::optional<Account>& account) {
  if (auto confined = confineToStorage(config, account); !confined) {
    return failed(confined.error());
  }
  OwnSight sight;
  const auto storage = openServerStorage(config, "query", kBusyTimeout, {}, sight);
  return storage ? answerStorageQuery(query, **storage, config.people) : failed(storage.error());
}

}  // namespace egalaxyd
