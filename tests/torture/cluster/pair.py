"""Two PostgreSQL without Patroni, each the other's synchronous standby, two hosts of egalaxyd and HAProxy: what
starts in seconds. Who is the primary, the test decides."""
import os
import subprocess

from one_machine import POSTGRES, Cluster, Service, eventually

CONFIG = """
listen_addresses = '{address}'
port = {port}
unix_socket_directories = '{folder}'
shared_buffers = 16MB
wal_log_hints = on
synchronous_standby_names = '*'
tcp_user_timeout = 5s
idle_in_transaction_session_timeout = 30s
client_connection_check_interval = 2s
fsync = {fsync}
"""
HBA = "local all all trust\nhost all all 127.0.0.0/8 trust\nhost replication all 127.0.0.0/8 trust\n"


class Pair(Cluster):
    def __init__(self, folder, egalaxyd, settings="", fsync=False):
        """`fsync`: off where processes are killed and the machine stays, which is what most tests do."""
        super().__init__(folder, egalaxyd, settings=settings, machines=2)
        self.postgres, self.leader, self._fsync = {}, 1, fsync

    def primary(self):
        return self.leader

    def other(self):
        return 3 - self.leader

    def postmaster(self, number):
        return self.postgres[number].pid if self.postgres[number].running() else None

    def both_url(self):
        """As a configuration names them; no password is needed here."""
        hosts = ",".join(f"{self.network.address(number)}:{self.ports['5432']}" for number in self.numbers)
        return f"postgresql://egalaxyd@{hosts}/egalaxyd"

    def data(self, number):
        return self.folder / f"h{number}/postgres/data"

    def as_postgres(self, *words):
        done = subprocess.run([*self._database, *map(str, words)], capture_output=True, text=True, check=False,
                              cwd="/", env={**os.environ, "PGPASSWORD": self.superuser})
        if done.returncode != 0:
            raise RuntimeError(f"{words[0]}: {done.stderr}")

    def configure(self, number):
        folder = self.data(number).parent
        self._write(self.data(number) / "postgresql.conf", CONFIG.format(
            address=self.network.address(number), port=self.ports["5432"], folder=folder,
            fsync="on" if self._fsync else "off"), owner=self._database_account)
        self._write(self.data(number) / "pg_hba.conf", HBA, owner=self._database_account)

    def run_postgres(self, number):
        self.configure(number)
        folder = self._own_folder(f"h{number}/postgres", self._database_account)
        self.postgres[number] = Service(
            f"postgres of h{number}", [*self._database, POSTGRES / "postgres", "-D", self.data(number)],
            folder).start()
        self._expect(self.postgres[number], lambda: self._ready(number))

    def _ready(self, number):
        return subprocess.run([POSTGRES / "pg_isready", "-q", "-h", self.network.address(number), "-p",
                               str(self.ports["5432"])], check=False).returncode == 0

    def make_standby(self, number):
        """A new copy of the primary: of a deposed one's data, nothing is kept."""
        self.as_postgres("rm", "-rf", self.data(number))
        self._own_folder(f"h{number}/postgres", self._database_account)
        self.as_postgres(POSTGRES / "pg_basebackup", "-D", self.data(number), "-c", "fast", "-X", "stream", "-R",
                         "--no-sync", "-d", self.database_url(self.leader).replace("/egalaxyd", "/postgres"))
        self.run_postgres(number)

    def standby_is_synchronous(self):
        return self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == [["1"]]

    def promote(self):
        """The standby becomes the primary; the other must be gone."""
        self.leader = self.other()
        self.as_postgres(POSTGRES / "pg_ctl", "promote", "-D", self.data(self.leader), "-w")

    def start(self, say=lambda words: None):
        self.start_databases()
        for number in self.numbers:
            self.add_web(number)
        for number in self.numbers:
            self.await_web(number)
        self.start_haproxy()
        self._expect(self.haproxy, lambda: self.hosts_up() == len(self.numbers))

    def start_databases(self):
        """With a role and an empty database for egalaxyd."""
        self.make_database_files()
        self._own_folder("h1/postgres", self._database_account)
        self.as_postgres(POSTGRES / "initdb", "-D", self.data(1), "-U", "postgres", "-E", "UTF8", "--locale=C",
                         "--no-sync", "-A", "trust")
        self.run_postgres(1)
        self.sql_alone("ALTER ROLE postgres SET synchronous_commit = local")
        self.as_postgres(self.folder / "patroni/make-database",
                         self.database_url(1).replace("/egalaxyd", "/postgres"))
        self.make_standby(2)
        if not eventually(self.standby_is_synchronous):
            raise RuntimeError("no synchronous standby: " + self.postgres[2].last_words())

    def sql_alone(self, statement):
        """As the superuser, in the database postgres, before there is another one."""
        self.as_postgres("psql", "--no-psqlrc", "--quiet", "-c", f"SET synchronous_commit = local; {statement}",
                         self.database_url(1).replace("/egalaxyd", "/postgres"))

    def stop(self):
        super().stop()
        for postgres in self.postgres.values():
            postgres.kill()
