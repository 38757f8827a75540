#include "common/shared/launcher_protocol.h"

#include "common/base/packing.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMostListed = 256;
/// What a RunningScript takes at least.
constexpr std::size_t kLeastListed = 32;
/// What a variable takes at least.
constexpr std::size_t kLeastVariable = 5;

void pack(Packer& to, const RunScript& m) {
  to.number(m.run).number(m.mount).text(m.script);
  to.number(static_cast<std::uint32_t>(m.variables.size()));
  for (const auto& [name, value] : m.variables) to.number(name).text(value);
  to.text(m.body).text(m.client).number(m.clientNumber);
}
void pack(Packer& to, const StopScript& m) { to.number(m.run); }
void pack(Packer& to, const DialUpstream& m) { to.number(m.run).number(m.upstream).text(m.user); }
void pack(Packer& to, const ScriptStarted& m) { to.number(m.run).number(m.pid); }
void pack(Packer& to, const Dialled& m) { to.number(m.run); }
void pack(Packer& to, const NotStarted& m) {
  to.number(m.run).number(static_cast<std::uint8_t>(m.why)).text(m.text);
}
void pack(Packer& to, const ScriptEnded& m) {
  to.number(m.run).number(m.exitCode).number(m.signal).number(m.cpuMs).number(m.stopped);
}
void pack(Packer&, const TakePlan&) {}
void pack(Packer& to, const TakeWorker& m) { to.number(m.worker); }
void pack(Packer& to, const ListScripts& m) { to.number(m.question); }
void pack(Packer& to, const StopProcess& m) { to.number(m.question).number(m.pid); }
void pack(Packer&, const FinishRuns&) {}
void pack(Packer&, const LauncherReady&) {}
void pack(Packer& to, const WorkerLied& m) { to.number(m.worker).text(m.what); }
void pack(Packer& to, const ScriptsRunning& m) {
  to.number(m.question).number(m.more).number(static_cast<std::uint32_t>(m.scripts.size()));
  for (const RunningScript& s : m.scripts) {
    to.number(s.pid).text(s.mount).text(s.script).number(s.ageMs).number(s.cpuMs).text(s.client);
  }
}
void pack(Packer& to, const ScriptStopped& m) { to.number(m.question).number(m.found); }
void pack(Packer& to, const LauncherWarns& m) { to.text(m.text); }

void unpack(Unpacker& from, RunScript& m) {
  m.run = from.number<std::uint32_t>();
  m.mount = from.number<std::uint32_t>();
  m.script = from.text();
  for (auto left = from.count(kLeastVariable); left > 0; --left) {
    const auto name = from.number<std::uint8_t>();
    m.variables.emplace_back(name, from.text());
  }
  m.body = from.text();
  m.client = from.text();
  m.clientNumber = from.number<std::uint64_t>();
}
void unpack(Unpacker& from, StopScript& m) { m.run = from.number<std::uint32_t>(); }
void unpack(Unpacker& from, DialUpstream& m) {
  m.run = from.number<std::uint32_t>();
  m.upstream = from.number<std::uint32_t>();
  m.user = from.text();
}
void unpack(Unpacker& from, ScriptStarted& m) {
  m.run = from.number<std::uint32_t>();
  m.pid = from.number<std::int32_t>();
}
void unpack(Unpacker& from, Dialled& m) { m.run = from.number<std::uint32_t>(); }
void unpack(Unpacker& from, NotStarted& m) {
  m.run = from.number<std::uint32_t>();
  m.why = static_cast<WhyNot>(from.number<std::uint8_t>());
  m.text = from.text();
}
void unpack(Unpacker& from, ScriptEnded& m) {
  m.run = from.number<std::uint32_t>();
  m.exitCode = from.number<std::int32_t>();
  m.signal = from.number<std::int32_t>();
  m.cpuMs = from.number<std::uint64_t>();
  m.stopped = from.number<std::uint8_t>() != 0;
}
void unpack(Unpacker&, TakePlan&) {}
void unpack(Unpacker& from, TakeWorker& m) { m.worker = from.number<std::int64_t>(); }
void unpack(Unpacker& from, ListScripts& m) { m.question = from.number<std::uint32_t>(); }
void unpack(Unpacker& from, StopProcess& m) {
  m.question = from.number<std::uint32_t>();
  m.pid = from.number<std::int32_t>();
}
void unpack(Unpacker&, FinishRuns&) {}
void unpack(Unpacker&, LauncherReady&) {}
void unpack(Unpacker& from, WorkerLied& m) {
  m.worker = from.number<std::int64_t>();
  m.what = from.text();
}
void unpack(Unpacker& from, ScriptsRunning& m) {
  m.question = from.number<std::uint32_t>();
  m.more = from.number<std::uint32_t>();
  for (auto left = from.count(kLeastListed); left > 0; --left) {
    RunningScript s;
    s.pid = from.number<std::int32_t>();
    s.mount = from.text();
    s.script = from.text();
    s.ageMs = from.number<std::uint64_t>();
    s.cpuMs = from.number<std::uint64_t>();
    s.client = from.text();
    m.scripts.push_back(std::move(s));
  }
}
void unpack(Unpacker& from, ScriptStopped& m) {
  m.question = from.number<std::uint32_t>();
  m.found = from.number<std::uint8_t>() != 0;
}
void unpack(Unpacker& from, LauncherWarns& m) { m.text = from.text(); }

template <class Variant>
std::string encodeOne(const Variant& message) {
  Packer packer;
  packer.number(static_cast<std::uint8_t>(message.index()));
  std::visit([&](const auto& one) { pack(packer, one); }, message);
  return std::move(packer).take();
}

/// The `kind`-th alternative of Variant.
template <class Variant, std::size_t I = 0>
std::optional<Variant> alternative(std::size_t kind) {
  if constexpr (I < std::variant_size_v<Variant>) {
    if (kind == I) return std::optional<Variant>(std::in_place, std::in_place_index<I>);
    return alternative<Variant, I + 1>(kind);
  } else {
    return std::nullopt;
  }
}

template <class Variant>
std::optional<Variant> decodeOne(std::string_view packet) {
  Unpacker from(packet);
  const auto kind = from.number<std::uint8_t>();
  auto message = alternative<Variant>(kind);
  if (!message) return std::nullopt;
  std::visit([&](auto& one) { unpack(from, one); }, *message);
  if (!from.complete()) return std::nullopt;
  return message;
}

}  // namespace

std::size_t filesWith(const LauncherAnswers& message) {
  if (std::holds_alternative<ScriptStarted>(message)) return 2;
  return std::holds_alternative<Dialled>(message) ? 1 : 0;
}

std::size_t filesWith(const MasterSays& message) {
  if (std::holds_alternative<TakePlan>(message)) return 2;
  return std::holds_alternative<TakeWorker>(message) ? 1 : 0;
}

std::string encode(const WorkerAsks& message) { return encodeOne(message); }
std::string encode(const LauncherAnswers& message) { return encodeOne(message); }
std::string encode(const MasterSays& message) { return encodeOne(message); }
std::string encode(const LauncherSays& message) { return encodeOne(message); }

std::optional<WorkerAsks> decodeWorkerAsks(std::string_view packet) {
  if (packet.size() > kMostLauncherBytes) return std::nullopt;
  return decodeOne<WorkerAsks>(packet);
}

std::optional<LauncherAnswers> decodeLauncherAnswers(std::string_view packet) {
  auto message = decodeOne<LauncherAnswers>(packet);
  if (!message) return std::nullopt;
  if (const auto* failed = std::get_if<NotStarted>(&*message)) {
    if (failed->why < WhyNot::kFull || failed->why > WhyNot::kNoAnswer) return std::nullopt;
  }
  return message;
}

std::optional<MasterSays> decodeMasterSays(std::string_view packet) {
  return decodeOne<MasterSays>(packet);
}

std::optional<LauncherSays> decodeLauncherSays(std::string_view packet) {
  auto message = decodeOne<LauncherSays>(packet);
  if (!message) return std::nullopt;
  if (const auto* list = std::get_if<ScriptsRunning>(&*message)) {
    if (list->scripts.size() > kMostListed) return std::nullopt;
  }
  return message;
}

}  // namespace egalaxyd
