// Built against other headers, as its number says; nothing of it may run.
#include <cstdlib>

#include "worker/plugin/plugin.h"

extern "C" {
extern POCO_LIBRARY_API const std::uint32_t egalaxydPluginAbi;
const std::uint32_t egalaxydPluginAbi = egalaxyd::kPluginAbi + 1;

POCO_LIBRARY_API void pocoInitializeLibrary() { std::abort(); }
POCO_LIBRARY_API bool pocoBuildManifestSites(Poco::ManifestBase*) { std::abort(); }
}
