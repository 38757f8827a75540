#include "common/cluster/database_engine.h"

#include <dlfcn.h>

#include <array>
#include <filesystem>
#include <system_error>

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModule = "libegalaxyd_postgresql.so";

/// Beside the program in a build; in an installation, wherever that stands, in its lib folder.
fs::path modulePath() {
  std::error_code failed;
  const fs::path programs = fs::read_symlink("/proc/self/exe", failed).parent_path();
  const std::array<fs::path, 3> places{
      programs / kModule, programs / "../lib/egalaxyd/modules" / kModule,
      programs / ".." / EGALAXYD_LIBDIR / "egalaxyd/modules" / kModule};
  for (const fs::path& place : places) {
    if (fs::exists(place, failed)) return place.lexically_normal();
  }
  return places.back().lexically_normal();
}

Result<const DatabaseEngine*> load() {
  const fs::path path = modulePath();
  std::error_code failed;
  if (!fs::exists(path, failed)) {
    return Error{ErrorCode::kNotFound,
                 path.string() + " is missing: install the package egalaxyd-postgresql"};
  }
  void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    return Error{ErrorCode::kInvalid, path.string() + " cannot be loaded: " + ::dlerror()};
  }
  const auto make =
      reinterpret_cast<DatabaseEngineFunction>(::dlsym(module, kDatabaseEngineSymbol));
  if (make == nullptr) {
    return Error{ErrorCode::kInvalid, path.string() +
                                          " is of another version of egalaxyd: install "
                                          "egalaxyd-postgresql of this one"};
  }
  return make();
}

}  // namespace

Result<const DatabaseEngine*> loadDatabaseEngine() {
  static const DatabaseEngine* loaded = nullptr;
  if (loaded != nullptr) return loaded;
  auto engine = load();
  if (engine) loaded = *engine;
  return engine;
}

}  // namespace egalaxyd
