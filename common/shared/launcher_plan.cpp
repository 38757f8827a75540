#include "common/shared/launcher_plan.h"

#include "common/base/packing.h"

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;

void pack(Packer& packer, const std::vector<std::string>& texts) {
  packer.number(static_cast<std::uint32_t>(texts.size()));
  for (const std::string& text : texts) packer.text(text);
}

std::vector<std::string> texts(Unpacker& packed) {
  std::vector<std::string> all;
  for (std::uint32_t left = packed.count(4); left > 0; --left) all.emplace_back(packed.text());
  return all;
}

milliseconds span(Unpacker& packed) { return milliseconds(packed.number<std::int64_t>()); }

void pack(Packer& packer, milliseconds span) {
  packer.number(static_cast<std::int64_t>(span.count()));
}

void pack(Packer& packer, const ScriptMount& mount) {
  packer.number(mount.number).text(mount.name).text(mount.root);
  packer.number(mount.anyUser).number(mount.ownOnly).text(mount.program);
  pack(packer, mount.arguments);
  packer.text(mount.folder);
  packer.number(static_cast<std::uint32_t>(mount.environment.size()));
  for (const auto& [name, value] : mount.environment) packer.text(name).text(value);
  packer.number(mount.followsLinks).number(mount.processes).number(mount.cpuSeconds);
  pack(packer, mount.whole);
  pack(packer, mount.longest);
}

ScriptMount mount(Unpacker& packed) {
  ScriptMount mount;
  mount.number = packed.number<std::uint32_t>();
  mount.name = packed.text();
  mount.root = packed.text();
  mount.anyUser = packed.number<std::uint8_t>() != 0;
  mount.ownOnly = packed.number<std::uint8_t>() != 0;
  mount.program = packed.text();
  mount.arguments = texts(packed);
  mount.folder = packed.text();
  for (std::uint32_t left = packed.count(8); left > 0; --left) {
    std::string name(packed.text());
    mount.environment.emplace_back(std::move(name), packed.text());
  }
  mount.followsLinks = packed.number<std::uint8_t>() != 0;
  mount.processes = packed.number<std::uint32_t>();
  mount.cpuSeconds = packed.number<std::uint64_t>();
  mount.whole = span(packed);
  mount.longest = span(packed);
  return mount;
}

UpstreamPlace upstream(Unpacker& packed) {
  UpstreamPlace place;
  place.number = packed.number<std::uint32_t>();
  place.address = packed.text();
  place.connectTimeout = span(packed);
  place.users = texts(packed);
  place.minUid = packed.number<std::uint32_t>();
  return place;
}

}  // namespace

std::string encode(const LauncherPlan& plan) {
  Packer packer;
  packer.number(plan.processes).number(plan.queue);
  pack(packer, plan.queueTimeout);
  pack(packer, plan.hidden);
  packer.number(static_cast<std::uint32_t>(plan.mounts.size()));
  for (const ScriptMount& one : plan.mounts) pack(packer, one);
  packer.number(static_cast<std::uint32_t>(plan.upstreams.size()));
  for (const UpstreamPlace& one : plan.upstreams) {
    packer.number(one.number).text(one.address);
    pack(packer, one.connectTimeout);
    pack(packer, one.users);
    packer.number(one.minUid);
  }
  return std::move(packer).take();
}

std::optional<LauncherPlan> decodeLauncherPlan(std::string_view bytes) {
  constexpr std::size_t kLeastMount = 40;
  constexpr std::size_t kLeastUpstream = 24;
  Unpacker packed(bytes);
  LauncherPlan plan;
  plan.processes = packed.number<std::uint32_t>();
  plan.queue = packed.number<std::uint32_t>();
  plan.queueTimeout = span(packed);
  plan.hidden = texts(packed);
  for (auto left = packed.count(kLeastMount); left > 0; --left)
    plan.mounts.push_back(mount(packed));
  for (auto left = packed.count(kLeastUpstream); left > 0; --left) {
    plan.upstreams.push_back(upstream(packed));
  }
  if (!packed.complete()) return std::nullopt;
  return plan;
}

}  // namespace egalaxyd
