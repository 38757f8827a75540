#include "common/postgres/postgres_handle.h"

#include <libpq-fe.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "common/base/path.h"
#include "common/postgres/postgres_refusal.h"

namespace egalaxyd::postgres {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

/// libpq's number for the binary format, and those of the types that we use.
constexpr int kBinary = 1;
constexpr unsigned kBool = 16;
constexpr unsigned kBytea = 17;
constexpr unsigned kInt8 = 20;
constexpr unsigned kTextType = 25;
constexpr unsigned kTextArray = 1009;
constexpr unsigned kInt8Array = 1016;

constexpr std::string_view kLostWords = "the database does not answer";
constexpr std::string_view kCommitLostWords =
    "the database does not answer a commit; look at it, and at the standby that it waits for "
    "(synchronous_standby_names)";
/// A host that is frozen still accepts connections.
constexpr auto kConnectPatience = std::chrono::seconds(2);

struct Meaning {
  ErrorCode code;
  const char* words;
};

Meaning meaningOf(std::string_view state) {
  // Those that a second run meets no more: what was in the way has been committed meanwhile.
  if (state == "40001" || state == "40P01" || state == "23505" || state == "23503" ||
      state == "55P03") {
    return {ErrorCode::kAgain, "another transaction was in the way"};
  }
  if (state == "53100" || state == "53200") {
    return {ErrorCode::kNoSpace, "no space left at the database; free some"};
  }
  if (state == "42501") {
    return {ErrorCode::kPermission,
            "the role in storage.url may not do this; name the one that owns the "
            "schema egalaxyd"};
  }
  if (state == "3F000" || state == "42P01" || state == "42883" || state == "42703") {
    return {ErrorCode::kInvalid,
            "egalaxyd's tables are missing or of another version; it makes "
            "them when it starts, or logs why it cannot"};
  }
  if (state == "22021") return {ErrorCode::kInvalid, "text that is no UTF-8"};
  return {ErrorCode::kIo, "the database cannot be used"};
}

/// Whether the connection is of no use after it: the server shuts down, is none that may be written
/// to any more, or ends us; or its lane was shut out (EG001).
bool endsConnection(std::string_view state, std::string_view severity) {
  return severity == "FATAL" || severity == "PANIC" || state.starts_with("08") ||
         state.starts_with("57P") || state == "25006" || state == "53300" || state == "EG001";
}

std::string_view orEmpty(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

std::string oneLine(std::string_view message) {
  while (message.ends_with('\n')) message.remove_suffix(1);
  return printable(message.substr(0, message.find('\n')));
}

void noteWarning(void* flag, const PGresult*) { *static_cast<bool*>(flag) = true; }

std::string arrayItem(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

std::vector<Value> valuesOf(const std::vector<Kept>& kept) {
  std::vector<Value> values;
  for (const Kept& each : kept) {
    std::visit([&](const auto& value) { values.emplace_back(value); }, each);
  }
  return values;
}

int leftMs(SteadyTime deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count() + 1, 0, 1'000'000));
}

/// As PQconnectdb() does it, but with the server's codes in what it says against us. False: it took
/// too long.
bool finishConnecting(PGconn* connection) {
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  const SteadyTime deadline = std::chrono::steady_clock::now() + kConnectPatience;
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(connection) != CONNECTION_BAD && next != PGRES_POLLING_OK &&
         next != PGRES_POLLING_FAILED) {
    const auto events = static_cast<short>(next == PGRES_POLLING_READING ? POLLIN : POLLOUT);
    pollfd waiting{PQsocket(connection), events, 0};
    const int ready = ::poll(&waiting, 1, leftMs(deadline));
    if (ready == 0) return false;
    if (ready > 0) next = PQconnectPoll(connection);
  }
  PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
  return true;
}

}  // namespace

unsigned Value::type() const {
  switch (kind_) {
    case Kind::kText:
      return kTextType;
    case Kind::kBytes:
      return kBytea;
    case Kind::kFlag:
      return kBool;
    case Kind::kNumbers:
      return kInt8Array;
    case Kind::kTexts:
      return kTextArray;
    case Kind::kNumber:
    case Kind::kNull:
      break;
  }
  return kInt8;
}

bool Value::isValid() const {
  if (kind_ != Kind::kText && kind_ != Kind::kTexts) return true;
  for (std::string_view left = bytes_; !left.empty();) {
    const bool ascii = left.front() > 0;  // zero is not allowed, other control characters are
    const std::size_t length = ascii ? 1 : printableLength(left);
    if (length == 0) return false;
    left.remove_prefix(length);
  }
  return true;
}

std::string_view Value::encode(std::string& room) const {
  if (kind_ == Kind::kFlag) return room.assign(1, static_cast<char>(number_));
  if (kind_ != Kind::kNumber) return bytes_;
  room.resize(8);
  for (std::size_t i = 0; i < 8; ++i) room[i] = static_cast<char>(number_ >> (56 - 8 * i));
  return room;
}

std::string arrayOf(const std::vector<std::int64_t>& numbers) {
  return fmt::format("{{{}}}", fmt::join(numbers, ","));
}

std::string arrayOf(const std::vector<std::string>& texts) {
  std::string result;
  for (const std::string& text : texts) result += (result.empty() ? "" : ",") + arrayItem(text);
  return "{" + result + "}";
}

void ClearResult::operator()(pg_result* result) const { PQclear(result); }
void CloseConnection::operator()(pg_conn* connection) const { PQfinish(connection); }

int Rows::size() const { return result_ ? PQntuples(result_.get()) : 0; }

bool Rows::isNull(int row, int column) const {
  return PQgetisnull(result_.get(), row, column) != 0;
}

std::string_view Rows::text(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::int64_t Rows::integer(int row, int column) const {
  const std::string_view bytes = text(row, column);
  if (bytes.empty() || bytes.size() > 8) return 0;
  std::uint64_t number = bytes.front() < 0 ? ~std::uint64_t{0} : 0;
  for (const char byte : bytes) number = (number << 8) | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(number);
}

std::uint64_t Rows::changed() const {
  const std::string_view digits = orEmpty(PQcmdTuples(result_.get()));
  std::uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

std::string_view Rows::tag() const { return orEmpty(PQcmdStatus(result_.get())); }

Result<Connection> Connection::open(const std::map<std::string, std::string>& keywords) {
  std::vector<const char*> names;
  std::vector<const char*> values;
  for (const auto& [name, value] : keywords) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  Connection result;
  result.connection_.reset(PQconnectStartParams(names.data(), values.data(), 0));
  if (!result.connection_) return Error{ErrorCode::kNoSpace, "no memory left"};
  PGconn* connection = result.connection_.get();
  const bool inTime = finishConnecting(connection);
  if (PQstatus(connection) != CONNECTION_OK) {
    return refusal(result.server(), inTime ? PQerrorMessage(connection) : "timeout",
                   PQconnectionNeedsPassword(connection) == 1);
  }
  result.warned_ = std::make_unique<bool>(false);
  PQsetNoticeReceiver(connection, noteWarning, result.warned_.get());
  if (PQsetnonblocking(connection, 1) != 0 || PQenterPipelineMode(connection) != 1) {
    return Error{ErrorCode::kIo, oneLine(PQerrorMessage(connection))};
  }
  return result;
}

bool Connection::takeBack(std::string_view sql) {
  if (waiting_.empty() || waiting_.back().sql != sql) return false;
  waiting_.pop_back();
  return true;
}

/// The name under which the server has it, which goes there in the same trip where it has not.
bool Connection::prepare(std::string_view sql, std::span<const Value> values, bool last,
                         std::string& name) {
  const auto known = prepared_.find(sql);
  if (known != prepared_.end()) {
    name = known->second;
    return true;
  }
  name = fmt::format("s{}", prepared_.size());
  std::vector<Oid> types;
  for (const Value& value : values) types.push_back(value.type());
  const std::string text(sql);
  if (PQsendPrepare(connection_.get(), name.c_str(), text.c_str(), static_cast<int>(types.size()),
                    types.data()) != 1) {
    return false;
  }
  prepared_.emplace(text, name);
  sent_.push_back({text, last});
  return true;
}

bool Connection::send(std::string_view sql, std::span<const Value> values, bool last) {
  if (values.empty()) {
    const std::string text(sql);
    sent_.push_back({{}, last});
    return PQsendQueryParams(connection_.get(), text.c_str(), 0, nullptr, nullptr, nullptr, nullptr,
                             kBinary) == 1;
  }
  std::string name;
  if (!prepare(sql, values, last, name)) return false;
  std::vector<std::string> rooms(values.size());
  std::vector<const char*> pointers;
  std::vector<int> lengths;
  std::vector<int> formats;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string_view bytes = values[i].encode(rooms[i]);
    pointers.push_back(values[i].isNull() ? nullptr : bytes.empty() ? "" : bytes.data());
    lengths.push_back(static_cast<int>(bytes.size()));
    formats.push_back(values[i].isArray() ? 0 : kBinary);
  }
  sent_.push_back({{}, last});
  return PQsendQueryPrepared(connection_.get(), name.c_str(), static_cast<int>(values.size()),
                             pointers.data(), lengths.data(), formats.data(), kBinary) == 1;
}

Result<Rows> Connection::ask(std::string_view sql, std::span<const Value> values,
                             std::chrono::milliseconds patience) {
  if (broke_) return lost(kLostWords);
  if (!std::all_of(values.begin(), values.end(), [](const Value& v) { return v.isValid(); })) {
    return Error{ErrorCode::kInvalid, "text that is no UTF-8"};
  }
  failedBefore_ = false;
  sent_.clear();
  bool sent = true;
  for (const Waiting& each : std::exchange(waiting_, {})) {
    sent = sent && send(each.sql, valuesOf(each.values), false);
  }
  sent = sent && send(sql, values, true) && PQpipelineSync(connection_.get()) == 1;
  if (!sent) return lost(PQerrorMessage(connection_.get()));
  return receive(std::chrono::steady_clock::now() + patience,
                 sql == "COMMIT" ? kCommitLostWords : kLostWords);
}

/// Reads the answers of all that was sent, up to the mark at its end.
Result<Rows> Connection::receive(SteadyTime deadline, std::string_view ifLate) {
  std::optional<Error> error;
  Rows rows;
  for (int nothing = 0; nothing < 2;) {
    if (!waitForAnswer(deadline)) {
      const bool isGone = PQstatus(connection_.get()) == CONNECTION_BAD;
      return lost(isGone ? PQerrorMessage(connection_.get()) : ifLate);
    }
    std::unique_ptr<PGresult, ClearResult> result(PQgetResult(connection_.get()));
    if (!result) {  // the end of one statement's answer
      ++nothing;
      if (!sent_.empty()) sent_.pop_front();
      continue;
    }
    nothing = 0;
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_PIPELINE_SYNC) return error ? Result<Rows>(*error) : std::move(rows);
    if (PQstatus(connection_.get()) != CONNECTION_OK)
      return lost(PQresultErrorMessage(result.get()));
    if (sent_.empty()) return lost("it answered what it was not asked");
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
      if (sent_.front().last) rows = Rows(std::move(result));
      continue;
    }
    prepared_.erase(sent_.front().prepared);
    if (status == PGRES_PIPELINE_ABORTED) continue;
    failedBefore_ = !sent_.front().last;
    error = fail(result.get());
  }
  return lost(PQerrorMessage(connection_.get()));
}

/// Sends what is left to send, and waits until there is something to take; false: nothing came in
/// time, or the connection is gone.
bool Connection::waitForAnswer(SteadyTime deadline) {
  PGconn* connection = connection_.get();
  for (;;) {
    const int unsent = PQflush(connection);
    if (unsent < 0) return false;
    if (unsent == 0 && PQisBusy(connection) == 0) return true;
    const auto events = static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN);
    pollfd waiting{PQsocket(connection), events, 0};
    const int ready = ::poll(&waiting, 1, leftMs(deadline));
    if (ready < 0 && errno != EINTR) return false;
    if (ready == 0 && std::chrono::steady_clock::now() >= deadline) return false;
    if (ready > 0 && PQconsumeInput(connection) != 1) return false;
  }
}

Result<void> Connection::runScript(const char* sql) {
  PGconn* connection = connection_.get();
  PQexitPipelineMode(connection);
  const bool sent = PQsendQuery(connection, sql) == 1;
  std::optional<Error> error;
  while (sent) {
    if (!waitForAnswer(std::chrono::steady_clock::now() + 12 * kAnswerPatience)) {
      return lost(kLostWords);
    }
    const std::unique_ptr<PGresult, ClearResult> result(PQgetResult(connection));
    if (!result) break;
    if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) error = fail(result.get());
  }
  if (!sent || PQenterPipelineMode(connection) != 1) return lost(PQerrorMessage(connection));
  return error ? Result<void>(*error) : Result<void>();
}

Result<bool> Connection::waitForNotification(std::chrono::milliseconds most, int wakeFd) {
  PGconn* connection = connection_.get();
  const auto deadline = std::chrono::steady_clock::now() + most;
  for (;;) {
    bool told = false;
    while (PGnotify* each = PQnotifies(connection)) {
      PQfreemem(each);
      told = true;
    }
    if (told) return true;
    pollfd waiting[] = {{PQsocket(connection), POLLIN, 0}, {wakeFd, POLLIN, 0}};
    const int ready = ::poll(waiting, wakeFd < 0 ? 1 : 2, leftMs(deadline));
    if (ready <= 0 && std::chrono::steady_clock::now() >= deadline) return false;
    if (waiting[1].revents != 0) return false;
    if (waiting[0].revents != 0 &&
        (PQconsumeInput(connection) != 1 || PQstatus(connection) != CONNECTION_OK)) {
      return lost(PQerrorMessage(connection));
    }
  }
}

bool Connection::inTransaction() const {
  return !broke_ && PQtransactionStatus(connection_.get()) != PQTRANS_IDLE;
}

int Connection::backend() const { return PQbackendPID(connection_.get()); }

std::string Connection::serverVersion() const {
  return std::string(orEmpty(PQparameterStatus(connection_.get(), "server_version")));
}

std::string Connection::server() const {
  const std::string host(orEmpty(PQhost(connection_.get())));
  return host.starts_with('/') ? host : fmt::format("{}:{}", host, PQport(connection_.get()));
}

Error Connection::fail(const pg_result* result) {
  const std::string_view state = orEmpty(PQresultErrorField(result, PG_DIAG_SQLSTATE));
  const auto severity = orEmpty(PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED));
  if (endsConnection(state, severity)) return lost(PQresultErrorMessage(result));
  const Meaning meaning = meaningOf(state);
  trouble_ = Error{
      meaning.code,
      fmt::format("{}: {} ({}, {})", server(), meaning.words,
                  oneLine(orEmpty(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY))), state)};
  return *trouble_;
}

/// Nothing of what was not committed happens any more, so that it may be done once more.
Error Connection::lost(std::string_view why) {
  broke_ = true;
  waiting_.clear();
  trouble_ = Error{ErrorCode::kAgain, fmt::format("{}: {}", server(), oneLine(why))};
  return *trouble_;
}

}  // namespace egalaxyd::postgres
