// Calls its classes sites, but they are something else.
#include "worker/plugin/plugin.h"

namespace {
struct Base {
  virtual ~Base() = default;
};
struct Impostor : Base {};
}  // namespace

EGALAXYD_PLUGIN

POCO_BEGIN_NAMED_MANIFEST(Sites, Base)
POCO_EXPORT_CLASS(Impostor)
POCO_END_MANIFEST
