"""Three machines that can be cut off: a network namespace for each, a bridge between them. Root alone."""
import os
import subprocess

FRONT, NET = "127.0.0.1", "10.213.7"  # HAProxy and the clients stay outside


def ip(*words, check=True):
    subprocess.run(["ip", *words], check=check, capture_output=True)


class Namespaces:
    """As one_machine.Loopback. etcd and HAProxy are on the bridge's side."""
    front, etcd, everybody, proxies = FRONT, f"{NET}.254", f"{NET}.0/24", f"{NET}.254/32"

    def __init__(self, machines=3):
        self._numbers = range(1, machines + 1)
        self._bridge = f"egc{os.getpid() % 100000}"

    def address(self, number):
        return f"{NET}.{number}"

    def _name(self, number):
        return f"{self._bridge}-{number}"

    def within(self, number):
        return ["ip", "netns", "exec", self._name(number)]

    def make(self):
        ip("link", "add", self._bridge, "type", "bridge")
        ip("addr", "add", f"{NET}.254/24", "dev", self._bridge)
        ip("link", "set", self._bridge, "up")
        for number in self._numbers:
            name = self._name(number)
            ip("netns", "add", name)
            ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", name, "master", self._bridge, "up")
            for words in (("addr", "add", f"{NET}.{number}/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                          ("link", "set", "lo", "up")):
                ip("-n", name, *words)

    def cut(self, number):
        """Nothing reaches that machine, and nothing leaves it; nobody is told."""
        ip("link", "set", self._name(number), "nomaster")

    def mend(self, number):
        ip("link", "set", self._name(number), "master", self._bridge)

    def remove(self):
        for number in self._numbers:
            ip("link", "del", self._name(number), check=False)
            ip("netns", "del", self._name(number), check=False)
        ip("link", "del", self._bridge, check=False)

    @staticmethod
    def possible():
        """"" or why not."""
        if os.geteuid() != 0:
            return "only root can make network namespaces"
        tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
        return "" if tried.returncode == 0 else "this kernel has no network namespaces for us"
