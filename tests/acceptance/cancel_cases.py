"""The rows of the cancel table: what the steps do, and what a receipt has to say of them."""

from __future__ import annotations

from dataclasses import dataclass

SOFT, TERM, KILL, ON_SERVER = "soft cancel", "SIGTERM", "SIGKILL", "server-side terminate"

CODE = """
import asyncio, ctypes, os, signal, subprocess, sys, time
import trio

DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"


def cooperative(ctx):
    print("at work")
    while True:
        ctx.checkpoint()


def sleeping(ctx):
    print("at work")
    time.sleep(600)


def sore(ctx):
    try:
        print("at work")
        time.sleep(600)
    finally:
        raise RuntimeError("the step was in the middle of something")


def deaf(ctx):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, start_new_session=True)
    child.stdout.readline()
    print("child", child.pid)
    print("at work")
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass


def in_transaction(ctx, connector):
    database = ctx.get_connector(connector).sync
    with database.transaction():
        database.execute("INSERT INTO t VALUES (1)")
        print("at work")
        database.execute("SELECT pg_sleep(600)")


def stopped(ctx):
    print("at work")
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGSTOP)


def in_c(ctx):
    print("at work")
    time.sleep(0.1)
    # C code that keeps the lock of the interpreter: no thread of the worker hears anything.
    ctypes.PyDLL(None).sleep(600)


def late(ctx):
    print("at work")
    while not ctx.is_cancelled():
        try:
            time.sleep(0.01)
        except BaseException:
            pass
    return {"rows_affected": 5}


async def asyncio_cooperative(ctx):
    print("at work")
    await asyncio.sleep(600)


async def asyncio_sleeping(ctx):
    print("at work")
    time.sleep(600)


async def asyncio_stubborn(ctx):
    print("at work")
    while True:
        try:
            await asyncio.sleep(600)
        except BaseException:
            pass


async def asyncio_statement(ctx, connector):
    print("at work")
    await ctx.get_connector(connector).execute("SELECT pg_sleep(600)")


async def trio_cooperative(ctx):
    print("at work")
    await trio.sleep(600)


async def trio_sleeping(ctx):
    print("at work")
    time.sleep(600)


async def trio_stubborn(ctx):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("at work")
    with trio.CancelScope(shield=True):
        await trio.sleep(600)
"""

BUSY_SHELL = "trap 'exit 3' TERM; echo at work; while :; do sleep 0.05; done"
DEAF_SHELL = "trap '' TERM; setsid sleep 600 & echo child $!; echo at work; while :; do sleep 600; done"

ENDLESS_SQLITE = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
DEAF_SQLITE = "SELECT instr(printf('%.*c', 6000000, 'a'), printf('%.*c', 3000000, 'a') || 'b')"
ENDLESS_DUCKDB = "INSERT INTO t SELECT a.range FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 8"
DEAF_DUCKDB = "SELECT levenshtein(repeat('a', 400000), repeat('b', 400000))"
# In the list of a SELECT a series is given row by row; in its FROM it would fill the disk first.
ENDLESS_PG = "INSERT INTO t SELECT max(i) FROM (SELECT generate_series(1, 1000000000000) AS i) AS s"


@dataclass(frozen=True)
class Case:
    """One row of the table: a step, what it does when it is asked to stop, and what the receipt then says.

    `frozen` names the connectors whose backends stand still from the moment the step is at work; `silent` says that the
    network to its server swallows everything from then on; `locked` that another connection holds the SQLite file;
    `stands` that the directory's server stands still.
    """

    step_type: str
    behaviour: str
    step: str
    rungs: tuple[str, ...] = (SOFT,)
    rolled_back: bool | str = "unknown"
    force: bool = False
    frozen: tuple[str, ...] = ()
    silent: bool = False
    locked: bool = False
    stands: bool = False
    shows: str | None = "at work"

    @property
    def job_id(self) -> str:
        """The job that runs it."""
        text = f"{self.step_type} {self.behaviour}{' force' if self.force else ''}"
        return "".join(letter if letter.isalnum() else "-" for letter in text.lower())

    @property
    def is_in_engine(self) -> bool:
        """Whether it has no process."""
        return self.step_type == "http"

    @property
    def is_on_server(self) -> bool:
        """Whether a backend of the server is at work when the step is."""
        return "pg" in self.step and self.shows is None


def _python(function: str, **fields: str) -> str:
    more = "".join(f'{key} = "{value}"\n' for key, value in fields.items() if key != "connector")
    given = f'[steps.op_kwargs]\nconnector = "{fields["connector"]}"\n' if "connector" in fields else ""
    return f'type = "python"\ncallable = "cases:{function}"\n{more}{given}'


def _shell(script: str) -> str:
    return f'type = "shell"\nargv = ["sh", "-c", """{script}"""]\n'


def _query(connector: str, sql: str) -> str:
    return f'type = "sql_query"\nconnector = "{connector}"\nquery = """{sql}"""\n'


def _http(path: str, method: str = "GET") -> str:
    return f'type = "http"\nconnector = "web"\nurl = "{path}"\nmethod = "{method}"\n'


COPY = """type = "sql_copy"
source = { connector = "pg", table = "endless" }
target = { connector = "pg2", table = "copied" }
"""

COPY_INTO_FILE = """type = "sql_copy"
source = { connector = "pg", table = "endless" }
target = { connector = "duck", table = "copied" }
"""


def _sync(connector: str, target: str) -> str:
    return f"""type = "ldap_sync"
connector = "{connector}"
search_base = "ou=people,dc=example,dc=org"
search_filter = "(uid=*)"
target_connector = "{target}"
target_table = "people"
mapping = {{ uid = "login", cn = "name" }}
deletion = "hard"
page_size = 1
"""


LDAP = "ldap_sync"
PG, PG_COPY, LITE, DUCK = "sql_query on PostgreSQL", "sql_copy PostgreSQL", "sql_query on SQLite", "sql_query on DuckDB"

CASES = (
    Case(PG, "computes", _query("pg", ENDLESS_PG), rolled_back=True, shows=None),
    Case(PG, "computes", _query("pg", ENDLESS_PG), rolled_back=True, shows=None, force=True),
    Case(PG, "sleeps", _query("pg", "SELECT pg_sleep(600)"), rolled_back=True, shows=None),
    Case(PG, "frozen", _query("pg", ENDLESS_PG), (SOFT, ON_SERVER), frozen=("pg",), shows=None),
    Case(PG, "frozen", _query("pg", ENDLESS_PG), (SOFT, ON_SERVER), frozen=("pg",), shows=None, force=True),
    Case(PG, "silent network", _query("pg_proxy", ENDLESS_PG), (SOFT, ON_SERVER), silent=True, shows=None),
    Case(PG, "silent from the start", _query("mute", "SELECT 1"), rolled_back=True, shows="▶"),
    Case(PG_COPY, "copies", COPY, rolled_back=True, shows=None),
    Case(PG_COPY, "copies", COPY, rolled_back=True, shows=None, force=True),
    Case(PG_COPY, "frozen source", COPY, (SOFT, ON_SERVER), rolled_back=True, frozen=("pg",), shows=None),
    Case(PG_COPY, "frozen target", COPY, (SOFT, ON_SERVER), frozen=("pg2",), shows=None),
    Case(PG_COPY, "frozen target", COPY, (SOFT, ON_SERVER), frozen=("pg2",), shows=None, force=True),
    Case("sql_copy into DuckDB", "copies", COPY_INTO_FILE, rolled_back=True, shows=None),
    Case("sql_copy into DuckDB", "frozen source", COPY_INTO_FILE, (SOFT, ON_SERVER), True, frozen=("pg",), shows=None),
    Case(LITE, "computes", _query("lite", ENDLESS_SQLITE), rolled_back=True, shows=ENDLESS_SQLITE),
    Case(LITE, "waits for a lock", _query("lite", "DELETE FROM t"), rolled_back=True, locked=True, shows="DELETE"),
    Case(LITE, "deaf", _query("lite", DEAF_SQLITE), (SOFT, TERM), rolled_back=True, shows=DEAF_SQLITE),
    Case(DUCK, "computes", _query("duck", ENDLESS_DUCKDB), rolled_back=True, shows=ENDLESS_DUCKDB),
    Case(DUCK, "deaf", _query("duck", DEAF_DUCKDB), (SOFT, TERM), rolled_back=True, shows=DEAF_DUCKDB),
    Case(DUCK, "deaf", _query("duck", DEAF_DUCKDB), (SOFT, TERM), rolled_back=True, shows=DEAF_DUCKDB, force=True),
    Case(LDAP, "reads", _sync("directory", "lite"), rolled_back=True, shows="page 9"),
    Case(LDAP, "frozen", _sync("directory", "lite"), rolled_back=True, stands=True, shows="page 9"),
    Case(LDAP, "frozen", _sync("directory", "lite"), rolled_back=True, stands=True, shows="page 9", force=True),
    Case(LDAP, "frozen, TLS", _sync("directory_tls", "duck"), rolled_back=True, stands=True, shows="page 9"),
    Case(LDAP, "frozen, into PostgreSQL", _sync("directory", "pg"), rolled_back=True, stands=True, shows="page 9"),
    Case(LDAP, "silent from the start", _sync("mute_ldap", "lite"), rolled_back=True, shows="▶"),
    Case("python", "cooperative", _python("cooperative")),
    Case("python", "sleeps", _python("sleeping")),
    Case("python", "raises", _python("sore")),
    Case("python", "ends well", _python("late"), rolled_back=False),
    Case("python", "in a transaction", _python("in_transaction", connector="pg")),
    Case("python", "frozen", _python("in_transaction", connector="pg"), (SOFT, ON_SERVER), frozen=("pg",)),
    Case("python", "deaf, with a child", _python("deaf"), (SOFT, TERM, KILL), force=True),
    Case("python", "stopped process", _python("stopped"), (SOFT, TERM, KILL), force=True),
    Case("python", "in C", _python("in_c"), (SOFT, TERM)),
    Case("python asyncio", "cooperative", _python("asyncio_cooperative")),
    Case("python asyncio", "blocks in sleep", _python("asyncio_sleeping"), (SOFT, TERM)),
    Case("python asyncio", "stubborn", _python("asyncio_stubborn"), (SOFT, TERM), force=True),
    Case("python asyncio", "statement", _python("asyncio_statement", connector="pg")),
    Case("python trio", "cooperative", _python("trio_cooperative", flavour="trio")),
    Case("python trio", "blocks in sleep", _python("trio_sleeping", flavour="trio"), (SOFT, TERM)),
    Case("python trio", "stubborn", _python("trio_stubborn", flavour="trio"), (SOFT, TERM, KILL), force=True),
    Case("shell", "cooperative", _shell(BUSY_SHELL)),
    Case("shell", "sleeps", _shell("echo at work; sleep 600")),
    # Its worker is not deaf, and what SIGTERM leaves of the group is killed.
    Case("shell", "deaf, with a child", _shell(DEAF_SHELL), (SOFT, TERM), force=True),
    Case("http", "asks a silent service", _http("silent"), rolled_back=True, shows="GET "),
    Case("http", "reads a slow answer", _http("drip"), rolled_back=True, shows="GET "),
    Case("http", "sends to a silent service", _http("silent", "POST"), shows="POST "),
    Case("http", "sends, slow answer", _http("drip", "POST"), rolled_back=False, force=True, shows="POST "),
)  # fmt: skip
