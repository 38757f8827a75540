"""What the preloaded library faults.cpp does to the calls of the real programs. The library is
that of the build whose programs are in $EGALAXYD_BIN_DIR."""
import mmap
import os
import pathlib
import struct


class Faults:
    """As struct Faults of faults.cpp has them; that says what each means."""
    FIELDS = ("syncs", "fail_from", "failures", "sync_micros", "no_tmpfile", "ahead", "no_exchange",
              "victim", "steps", "die_at", "early", "only_names", "links", "renames")

    def __init__(self, folder):
        self.path = folder / "faults"
        self.path.write_bytes(bytes(8 * len(self.FIELDS)))
        with open(self.path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def environment(self):
        """For the programs."""
        build = pathlib.Path(os.environ["EGALAXYD_BIN_DIR"]).resolve().parent
        library = build / "tests/torture/egalaxyd_faults.so"
        return {"EGALAXYD_FAULTS": str(self.path), "LD_PRELOAD": str(library),
                "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}

    def set(self, **wishes):
        for name, value in wishes.items():
            struct.pack_into("<q", self._memory, 8 * self.FIELDS.index(name), value)

    def get(self, name):
        return struct.unpack_from("<q", self._memory, 8 * self.FIELDS.index(name))[0]

    def kill(self, process, at, early=0, only_names=0):
        """`process` dies at its step number `at` from now on."""
        self.set(victim=0)
        self.set(steps=0, links=0, renames=0, die_at=at, early=early, only_names=only_names)
        self.set(victim=process)
