// Calls what nobody has.
#include "worker/plugin/plugin.h"

void nowhereDefined();

namespace {
class Caller final : public egalaxyd::SitePlugin {
  void handle(egalaxyd::Request, egalaxyd::Responder, egalaxyd::Services&) override {
    nowhereDefined();
  }
};
}  // namespace

EGALAXYD_PLUGIN

EGALAXYD_BEGIN_SITES
POCO_EXPORT_CLASS(Caller)
POCO_END_MANIFEST
