"""Settings: where values come from, what they may be, and how they reach other processes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.config import values
from quire.config.resolving import from_environment, resolve, usable_cores
from quire.config.settings import DEFAULT_FALLBACK_URL, OPTIONS, RUN_DEFAULTS, SERVE_DEFAULTS, Settings
from quire.config.values import ACTIONS
from quire.domain.errors import ConfigurationError
from quire.http.api.v1_settings import setting_entries
from quire.observe.logs import interpolate


def values_of(settings: Settings) -> Settings:
    """The settings without what set them."""
    return msgspec.structs.replace(settings, sources=())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads a quire.toml that lies where pytest was started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_defaults_are_pypiservers(tmp_path: Path) -> None:
    """`quire run` without flags listens and behaves as `pypi-server run` without flags."""
    settings = resolve({}, {})
    assert settings.directories == (f"{tmp_path}/packages",)
    assert (settings.host, settings.port, settings.server) == ("0.0.0.0", 8080, "auto")
    assert settings.authenticate == ("update",)
    assert settings.passwords is None
    assert settings.fallback_url == DEFAULT_FALLBACK_URL
    assert settings.health_endpoint == "/health"
    assert settings.hash_algorithm == "sha256"
    assert not settings.overwrite
    assert settings.cache_control is None
    assert settings.server_base_url == ""
    assert settings.log_level == "WARNING"
    assert settings.max_upload_size == 2 * 1024**3
    assert settings.body_timeout == 60
    assert settings.index == "main"
    assert settings.trusted_proxies == ()
    assert settings.workers == usable_cores()
    assert not settings.workers_chosen


def test_serve_defaults_are_private() -> None:
    """Only this machine reaches `quire serve`. It sends clients to the public index as `quire run` does, until told
    otherwise."""
    settings = resolve({}, {}, SERVE_DEFAULTS)
    assert settings.host == "127.0.0.1"
    assert settings.fallback_url == DEFAULT_FALLBACK_URL
    assert settings.log_level == "INFO"
    other = "http://mirror.example/simple"
    assert resolve({"fallback_url": other}, {}, SERVE_DEFAULTS).fallback_url == other + "/"
    disabled = resolve({"fallback_url": other, "disable_fallback": True}, {}, SERVE_DEFAULTS)
    assert disabled.fallback_url is None
    assert resolve({}, {"QUIRE_DISABLE_FALLBACK": "yes"}, SERVE_DEFAULTS).fallback_url is None


def test_precedence(tmp_path: Path) -> None:
    """Flag before QUIRE_* before quire.toml before other programs' variables before the default."""
    environ = {"PORT": "1005", "PYPISERVER_PORT": "1004"}
    assert resolve({}, {"PORT": "1005"}).port == 1005
    assert resolve({}, environ).port == 1004
    (tmp_path / "quire.toml").write_text("port = 1003\n")
    assert resolve({}, environ).port == 1003
    environ["QUIRE_PORT"] = "1002"
    assert resolve({}, environ).port == 1002
    assert resolve({"port": "1001"}, environ).port == 1001
    assert resolve({"port": None}, environ).port == 1002


def test_only_a_choice_made_for_quire_overrules_a_gunicorn_configuration() -> None:
    """GUNICORN_WORKERS is a default; --workers and QUIRE_WORKERS are choices."""
    borrowed = resolve({}, {"GUNICORN_WORKERS": "7"})
    assert (borrowed.workers, borrowed.workers_chosen) == (7, False)
    assert resolve({}, {"GUNICORN_WORKERS": ""}).workers == usable_cores()
    chosen = resolve({}, {"GUNICORN_WORKERS": "7", "QUIRE_WORKERS": "3"})
    assert (chosen.workers, chosen.workers_chosen) == (3, True)


def test_configuration_file(tmp_path: Path) -> None:
    """Keys with - or _, native TOML values, paths relative to the file; `--config` before QUIRE_CONFIG."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "index.toml").write_text(
        'directories = ["packages", "/srv/more"]\nmax-upload-size = "500M"\nread_only = true\n'
        'authenticate = ["update", "list"]\npasswords = "users"\nbody-timeout = 1.5\n'
        'trusted-proxies = ["10.0.0.0/8", "::1"]\ndisable-fallback = true\n'
    )
    settings = resolve({}, {"QUIRE_CONFIG": "/nonexistent"}, config_file="etc/index.toml")
    assert settings.directories == (f"{folder}/packages", "/srv/more")
    assert settings.max_upload_size == 500 * 1024**2
    assert settings.read_only
    assert settings.authenticate == ("list", "update")
    assert settings.passwords == f"{folder}/users"
    assert settings.body_timeout == 1.5
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert settings.fallback_url is None
    assert resolve({}, {"QUIRE_CONFIG": "etc/index.toml"}) == settings


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"prot = 8080\n",
            r"quire.toml sets 'prot', which is no setting of quire \(did you mean port\?\); the settings are .*port",
        ),
        (b"port = 99999\n", r"port in quire.toml: 99999 is out of range; it must be from 0 to 65535\."),
        (b"port = \n", r"quire.toml is not TOML: .*line 1"),
        (b"\xff\xfe", r"quire.toml is not TOML"),
        (b"overwrite = 3\n", r"overwrite in quire.toml: 3 is neither true nor false"),
        (b"port = true\n", r"port in quire.toml: True is not a whole number"),
        (b"directories = []\n", r"directories in quire.toml: it names no directory"),
        (b"directories = [3]\n", r"directories in quire.toml: 3 is not text"),
    ],
)
def test_a_wrong_configuration_file_is_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    """Unknown keys, wrong values and what is no TOML are told with the file's name."""
    (tmp_path / "quire.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=sentence):
        resolve({}, {})


def test_a_named_configuration_file_must_exist(tmp_path: Path) -> None:
    """Only a quire.toml that was not named may be absent."""
    with pytest.raises(ConfigurationError, match=r"configuration file missing\.toml does not exist"):
        resolve({}, {}, config_file="missing.toml")
    with pytest.raises(ConfigurationError, match=r"cannot be read: Is a directory\.$"):
        resolve({}, {"QUIRE_CONFIG": str(tmp_path)})


TAKEN = [
    *("/simple", "/simple/x", "/packages/health", "/pypi", "/ready", "/metrics", "/upload", "/legacy/", "/project/x"),
    *("/RPC2", "/x/json", "//", "//health", "/health//"),
]
WRONG = [
    ("port", "http", "--port: 'http' is not a whole number"),
    ("port", "-1", "--port: -1 is out of range"),
    ("workers", "0", "--workers: 0 is out of range"),
    ("server", "apache", "--server: 'apache' is none of auto, uvicorn"),
    ("backend", "redis", "--backend: 'redis' is none of auto, simple-dir, cached-dir"),
    ("hash_algo", "sha999", "--hash-algo: 'sha999' is no usable hash algorithm"),
    ("hash_algo", "shake_128", "--hash-algo: 'shake_128' is no usable hash algorithm"),
    ("hash_algo", "yes", "--hash-algo: 'yes' is no usable hash algorithm"),
    ("health_endpoint", "health", "--health-endpoint"),
    ("health_endpoint", "/he alth", "--health-endpoint"),
    *(("health_endpoint", path, "--health-endpoint") for path in TAKEN),
    ("authenticate", "update,.", "'.' .no authentication. must stand alone"),
    ("authenticate", ". , Update", "'.' .no authentication. must stand alone"),
    ("authenticate", "upload", "use download, list and update"),
    ("authenticate", "", "use download, list and update"),
    ("authenticate", "download,", "use download, list and update"),
    ("authenticate", "list;update", "use download, list and update"),
    ("authenticate", "down load", "use download, list and update"),
    ("local", "acme/*", "--local: 'acme/\\*' is no name or pattern"),
    ("local", "[ab]", "--local"),
    ("local", "-acme", "--local"),
    ("fallback_url", "simple/", "--fallback-url"),
    ("fallback_url", "ftp://x/", "--fallback-url"),
    ("fallback_url", "http://x:y/", "--fallback-url"),
    ("fallback_url", "http://x/a b", "--fallback-url"),
    ("server_base_url", "/../x", "--server-base-url"),
    ("server_base_url", "http://host/x", "--server-base-url"),
    ("cache_control", "soon", "--cache-control"),
    ("log_stream", "syslog", "--log-stream: 'syslog' is none of stdout, stderr, none"),
    ("log_frmt", "%(nothing)s", "--log-frmt"),
    ("log_frmt", "no field", "--log-frmt"),
    ("log_req_frmt", "%(status)", "--log-req-frmt"),
    ("max_upload_size", "2X", "--max-upload-size: '2X' is not a size"),
    ("max_upload_size", "0", "--max-upload-size"),
    ("body_timeout", "never", "--body-timeout"),
    ("body_timeout", "-1", "--body-timeout"),
    ("body_timeout", "inf", "--body-timeout"),
    ("trusted_proxies", "proxy.example", "--trusted-proxies: 'proxy.example' is neither"),
    ("index", "../main", "--index"),
    ("index", "Main", "--index"),
    ("host", "a b", "--host"),
    ("host", "", "--host: the value is empty"),
    ("directories", ["a\0b"], "the directory: the value holds a NUL"),
]


def test_a_health_endpoint_below_the_prefix_twice() -> None:
    """It lies below --server-base-url by itself."""
    for health in ("/python", "/python/health"):
        with pytest.raises(ConfigurationError, match="below --server-base-url already"):
            resolve({"server_base_url": "/python", "health_endpoint": health}, {})
    settings = resolve({"server_base_url": "/python", "health_endpoint": "/pythonic"}, {})
    assert settings.health_endpoint == "/pythonic"


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
def test_a_wrong_value_is_one_sentence(name: str, value: Any, sentence: str) -> None:
    """Each names the flag, and ends as a sentence does."""
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        resolve({name: value}, {})
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("password", ["s3#cret", "s3/cret", "s3?cret", "s3@c#ret", "s3 cret"])
@pytest.mark.parametrize("name", ["upstream", "upstream_proxy", "fallback_url", "oidc_issuer"])
def test_the_login_of_a_refused_url_is_not_shown(name: str, password: str) -> None:
    """The error says how to write what a login cannot have as it is."""
    with pytest.raises(ConfigurationError) as caught:
        resolve({}, {f"QUIRE_{name.upper()}": f"https://ann:{password}@index.example/simple"})
    said = str(caught.value)
    assert "'https://***@index.example/simple' is not a plain http or https URL" in said
    assert "write # as %23, / as %2F and ? as %3F" in said
    assert not {"ann", "s3", "cret"} & set(re.split(r"\W+", said))


def test_a_login_with_a_slash_is_not_among_the_settings_shown() -> None:
    """That URL is one of the server `ann`, port 12, and so it is not refused."""
    settings = resolve(
        {}, {"QUIRE_UPSTREAM": "https://ann:12/s3cret@index.example/simple", "QUIRE_DIRECTORIES": "/a@b"}
    )
    shown = {each.name: each.value for each in setting_entries(settings)}
    assert shown["upstream"] == "https://***@index.example/simple/"
    assert shown["directories"] == "/a@b"


def test_a_wrong_variable_is_named() -> None:
    """A bad value in the environment is told with the variable's name, also a borrowed one."""
    with pytest.raises(ConfigurationError, match="environment variable QUIRE_PORT: 'x' is not a whole number"):
        resolve({}, {"QUIRE_PORT": "x"})
    with pytest.raises(ConfigurationError, match="environment variable PYPISERVER_PORT"):
        resolve({}, {"PYPISERVER_PORT": "x"})


@pytest.mark.parametrize("name", ["QUIRE_PORT", "PYPISERVER_PORT"])
def test_the_address_of_a_service_is_no_port(name: str) -> None:
    """Kubernetes puts it into every container beside a service of that name."""
    assert resolve({}, {name: "tcp://10.96.3.4:8080"}) == resolve({}, {})


@pytest.mark.parametrize("flags", [{"authenticate": "."}, {"passwords": "."}, {"authenticate": ".", "passwords": "f"}])
def test_no_authentication_must_be_said_twice(flags: dict[str, object]) -> None:
    """As in pypiserver: `-a .` and `-P .` belong together."""
    with pytest.raises(ConfigurationError, match=r"give both '-a \.' and '-P \.'"):
        resolve(flags, {})


@pytest.mark.parametrize(
    "flags",
    [
        {"authenticate": "download,list", "passwords": "users"},
        {"authenticate": "list", "passwords": "users"},
        {"authenticate": "download", "passwords": "users"},
        {"authenticate": "list"},  # listings need a login and uploads would not
    ],
)
def test_uploads_are_not_open_by_a_slip(flags: dict[str, object]) -> None:
    """Logins for reading alone would leave uploads open: that has to be said, or the index must be read-only."""
    with pytest.raises(ConfigurationError, match=r"uploads would need no login.*--anonymous-uploads") as caught:
        resolve(flags, {})
    assert "\n" not in str(caught.value)
    assert resolve(flags | {"read_only": True}, {}).read_only
    intended = resolve(flags | {"anonymous_uploads": True}, {})
    assert "update" not in intended.authenticate
    assert values_of(resolve(flags, {"QUIRE_ANONYMOUS_UPLOADS": "yes"})) == values_of(intended)
    with pytest.raises(ConfigurationError, match="uploads would need no login"):
        resolve(flags, {"QUIRE_ANONYMOUS_UPLOADS": "no"})


def test_anonymous_uploads_in_the_file(tmp_path: Path) -> None:
    """quire.toml spells it as the others do."""
    (tmp_path / "quire.toml").write_text('authenticate = ["list"]\npasswords = "users"\nanonymous-uploads = true\n')
    assert resolve({}, {}).authenticate == ("list",)


@pytest.mark.parametrize("flags", [{}, {"authenticate": "update"}, {"authenticate": "list,update", "passwords": "f"}])
def test_anonymous_uploads_contradict_protected_ones(flags: dict[str, object]) -> None:
    """Uploads with a login and without one cannot both be meant."""
    with pytest.raises(ConfigurationError, match="--anonymous-uploads contradicts --authenticate"):
        resolve(flags | {"anonymous_uploads": True}, {})


def test_anonymous_uploads_without_any_authentication() -> None:
    """Where nothing needs a login, uploads do not either."""
    assert resolve({"authenticate": ".", "passwords": ".", "anonymous_uploads": True}, {}).authenticate == ()


def test_no_authentication() -> None:
    """`-a . -P .` needs no login for anything."""
    settings = resolve({"authenticate": ".", "passwords": "."}, {})
    assert settings.authenticate == ()
    assert settings.passwords is None


@pytest.mark.parametrize(
    ("name", "raw", "field", "value"),
    [
        ("authenticate", " Download, UPDATE,update ", "authenticate", ("download", "update")),
        ("authenticate", "update, list", "authenticate", ("list", "update")),
        ("authenticate", "UPDATE", "authenticate", ("update",)),
        ("authenticate", "download,list,update,list", "authenticate", ACTIONS),
        ("hash_algo", "md5", "hash_algorithm", "md5"),
        ("hash_algo", "off", "hash_algorithm", None),
        ("hash_algo", "0", "hash_algorithm", None),
        ("server", "GEVENT", "server", "gevent"),
        ("server", "granian", "server", "granian"),
        ("server_base_url", "/", "server_base_url", ""),
        ("server_base_url", "python/index/", "server_base_url", "/python/index"),
        ("fallback_url", "https://mirror.example:8443/simple", "fallback_url", "https://mirror.example:8443/simple/"),
        ("max_upload_size", "2G", "max_upload_size", 2 * 1024**3),
        ("max_upload_size", "1.5 GiB", "max_upload_size", 3 * 1024**3 // 2),
        ("max_upload_size", "500mb", "max_upload_size", 500 * 1024**2),
        ("max_upload_size", "1048576", "max_upload_size", 1024**2),
        ("trusted_proxies", "*", "trusted_proxies", ("*",)),
        ("trusted_proxies", "10.1.2.3/8, ::1", "trusted_proxies", ("10.0.0.0/8", "::1/128")),
        ("trusted_proxies", "", "trusted_proxies", ()),
        ("local", "Acme.*, lone_wolf,acme-*", "local", ("acme-*", "lone-wolf")),
        ("local", ["acme", "b?t,*-internal"], "local", ("acme", "b?t", "*-internal")),
        ("local", "", "local", ()),
        ("host", "[::1]", "host", "::1"),
        ("verbose", 3, "verbosity", 3),
        ("cache_control", "3600", "cache_control", 3600),
        ("port", "0", "port", 0),
    ],
)
def test_values(name: str, raw: object, field: str, value: object) -> None:
    """Accepted values, and their form in the settings."""
    assert getattr(resolve({name: raw}, {}), field) == value


def test_paths_are_absolute(tmp_path: Path) -> None:
    """Relative and home paths are settled at once; several directories come from one variable."""
    settings = resolve({"passwords": "users", "welcome": "~/home.html"}, {"QUIRE_DIRECTORIES": f"a{os.pathsep}/b"})
    assert settings.passwords == f"{tmp_path}/users"
    assert settings.welcome == f"{tmp_path}/home.html"
    assert settings.directories == (f"{tmp_path}/a", "/b")


def test_all_options_reach_a_setting() -> None:
    """Every option but the ones that only mean something together is a field of Settings."""
    for defaults in (RUN_DEFAULTS, SERVE_DEFAULTS):
        assert set(defaults) <= {option.name for option in OPTIONS}
    settings = resolve({"backend": "simple-dir"}, {})
    assert settings == resolve({"backend": "cached-dir"}, {}) == resolve({"backend": "auto"}, {})


def test_redirects_are_for_buckets() -> None:
    """A directory, or the memory of a process, has no URL to send clients to."""
    for place in ("/a", "memory:"):
        with pytest.raises(ConfigurationError, match="--downloads redirect sends clients to a bucket"):
            resolve({"directories": [place], "downloads": "redirect"}, {})
        assert resolve({"directories": [place], "downloads": "stream"}, {}).downloads == "stream"
    for place in ("s3://bucket/a", "gs://bucket", "az://bucket/a"):
        settings = resolve({"directories": [place], "downloads": "redirect"}, {"QUIRE_REDIRECT_SECONDS": "60"})
        assert (settings.downloads, settings.redirect_seconds) == ("redirect", 60)


def test_no_drop_in_is_for_one_directory() -> None:
    """Further directories are nothing but drop-in folders, so both together make no sense."""
    assert resolve({"directories": ["/a", "/b"]}, {}).drop_in_roots == ("/a", "/b")
    assert resolve({"directories": ["/a"]}, {"QUIRE_NO_DROP_IN": "1"}).drop_in_roots == ()
    with pytest.raises(ConfigurationError, match="--no-drop-in serves the store alone"):
        resolve({"directories": ["/a", "/b"], "no_drop_in": True}, {})


def test_drop_in_folders_are_further_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a bucket as beside a directory, after those that are named there, each once; from flags, the environment
    or a file, whose paths are relative to it."""
    for place in ("/a", "s3://bucket/a"):
        settings = resolve({"directories": [place, "/b"], "drop_in": ["/c", "/b", "/d:e"]}, {})
        assert settings.directories == (place, "/b", "/c", "/d:e")
        assert settings.drop_in_roots == settings.directories[place != "/a" :]
    assert resolve({}, {"QUIRE_DIRECTORIES": "s3://bucket", "QUIRE_DROP_IN": "/b:/c"}).drop_in_roots == ("/b", "/c")
    (tmp_path / "quire.toml").write_text('directories = "s3://bucket"\ndrop-in = "wheels"\n')
    monkeypatch.chdir(tmp_path)
    assert resolve({}, {}).drop_in_roots == (str(tmp_path / "wheels"),)
    assert resolve({"drop_in": ["/b"]}, {}).drop_in_roots == ("/b",)


@pytest.mark.parametrize("flags", [["s3://bucket/b"], ["/a", "gs://bucket"], [""]])
def test_a_drop_in_folder_is_a_directory(flags: list[str]) -> None:
    """A bucket has no files that were copied into it by hand."""
    with pytest.raises(ConfigurationError, match="--drop-in: "):
        resolve({"directories": ["/a"], "drop_in": flags}, {})
    with pytest.raises(ConfigurationError, match="name no further directories"):
        resolve({"directories": ["s3://bucket"], "drop_in": ["/b"], "no_drop_in": True}, {})
    with pytest.raises(ConfigurationError, match="QUIRE_DROP_IN"):
        resolve({"directories": ["/a"]}, {"QUIRE_DROP_IN": "s3://bucket/b"})


def test_settings_are_frozen() -> None:
    """No code changes a setting after the start."""
    with pytest.raises(AttributeError):
        resolve({}, {}).port = 1  # type: ignore[misc]


@given(
    st.builds(
        Settings,
        directories=st.lists(st.text(max_size=9), min_size=1, max_size=3).map(tuple),
        port=st.integers(0, 65535),
        passwords=st.none() | st.text(max_size=9),
        authenticate=st.lists(st.sampled_from(values.ACTIONS), max_size=3).map(tuple),
        max_upload_size=st.integers(1, 2**61),
        body_timeout=st.floats(0.001, 1e6),
        log_format=st.text(max_size=9),
    )
)
def test_dump_and_load(settings: Settings) -> None:
    """A worker process gets exactly the settings of the process that started it."""
    assert Settings.load(settings.dump()) == settings
    assert from_environment({"QUIRE_SETTINGS": settings.dump(), "QUIRE_PORT": "1"}) == settings


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"directories": ["a"], "colour": 1}', '{"directories": 1}'])
def test_load_refuses_what_dump_never_wrote(text: str) -> None:
    """Garbage in QUIRE_SETTINGS is one sentence."""
    with pytest.raises(ConfigurationError, match="QUIRE_SETTINGS is not what this version of quire writes"):
        Settings.load(text)


def test_a_server_of_ones_own_reads_the_environment() -> None:
    """Without QUIRE_SETTINGS an application is set up by QUIRE_* with serve's defaults, but under any host name."""
    settings = from_environment({"QUIRE_DIRECTORIES": "/srv", "QUIRE_OVERWRITE": "yes"})
    expected = resolve({"directories": ["/srv"], "overwrite": True}, {}, SERVE_DEFAULTS)
    assert values_of(settings) == msgspec.structs.replace(values_of(expected), allowed_hosts=())
    assert dict(settings.sources)["overwrite"] == "The environment variable QUIRE_OVERWRITE"


@given(st.text(max_size=40))
def test_parsers_raise_nothing_but_value_errors(raw: str) -> None:
    """Whatever a person writes, every parser gives a value or says what is wrong."""
    for option in OPTIONS:
        try:
            option.parse(raw)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - the parsers differ in what they accept


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("%(status)s", "200"),
        ("%(nothing)s of %(status)s", "- of 200"),
        ("%s", "{'status': 200}"),
        ("plain", "plain"),
        ("100%", "100% {'status': 200}"),
        ("%(status)y", "%(status)y {'status': 200}"),
    ],
)
def test_interpolation_never_fails(template: str, expected: str) -> None:
    """The formats for requests, responses and errors cannot break a request."""
    assert interpolate(template, {"status": 200}) == expected


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "999999999 100000\n"}, None),
        ({"cpu.max": "rubbish"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_limits_the_workers(tmp_path: Path, files: dict[str, str], cores: int | None) -> None:
    """Half a processor is one worker; where there is no quota, or a larger one, there are as many as processors."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == (cores or len(os.sched_getaffinity(0)))


_ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/quire/0123456789abcdef"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"user_header": "X-User"}, "there are none; name them with --trusted-proxies"),
        ({"user_header": "X-User", "trusted_proxies": "*"}, "With --trusted-proxies * any client could name a user"),
        ({"user_header": "X-User", "trusted_proxies": "10.0.0.1,::/0"}, "With --trusted-proxies ::/0 any client"),
        ({"groups_header": "X-Groups", "trusted_proxies": "10.0.0.1"}, "name the user's header with --user-header"),
        (
            {"user_header": "X-User", "groups_header": "x-user", "trusted_proxies": "10.0.0.1"},
            "--user-header and --groups-header name the same header",
        ),
        ({"user_header": "X_User"}, "--user-header: 'X_User' is no name of a header"),
        ({"user_header": "Authorization"}, "--user-header: 'Authorization' has another meaning"),
        ({"user_header": "X-Forwarded-For"}, "--user-header: 'X-Forwarded-For' has another meaning"),
        ({"groups_header": ""}, "--groups-header: the value is empty"),
        ({"alb_arn": "quire"}, "--alb-arn: 'quire' is no ARN of an Application Load Balancer"),
        ({"alb_arn": _ARN}, "--alb-arn believes a header of trusted proxies, and there are none"),
        ({"alb_arn": _ARN, "trusted_proxies": "0.0.0.0/0"}, "any client could name a user by --alb-arn"),
        ({"alb_arn": _ARN, "trusted_proxies": "10.0.0.1", "user_header": "X-User"}, "give one of them"),
        ({"alb_keys_url": "https://keys.example"}, "name them with --alb-arn"),
        ({"user_header": "X-Amzn-Oidc-Data", "trusted_proxies": "10.0.0.1"}, "is signed; name the load balancer"),
    ],
)
def test_user_headers_need_trusted_proxies(flags: dict[str, str], sentence: str) -> None:
    """A server does not start with settings by which a client could name itself."""
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        resolve(flags, {})


def test_user_headers() -> None:
    """In lower case, from any source of settings."""
    settings = resolve({"trusted_proxies": "unix"}, {"QUIRE_USER_HEADER": "X-Forwarded-User"})
    assert settings.user_headers == (settings.user_header,) == ("x-forwarded-user",)
    assert settings.has_logins


def test_a_configuration_file_that_declares_indexes_is_compared_with_the_store(tmp_path: Path) -> None:
    """Its tables are no settings; another file can be named in its place."""
    file = tmp_path / "own.toml"
    file.write_text("port = 8081\n[indexes.main]\nuploads = false\n")
    assert resolve({}, {}, config_file=str(file)).declared == str(file)
    assert resolve({}, {"QUIRE_DECLARED": "/srv/other.toml"}, config_file=str(file)).declared == "/srv/other.toml"
    file.write_text("port = 8081\n")
    assert resolve({}, {}, config_file=str(file)).declared is None
