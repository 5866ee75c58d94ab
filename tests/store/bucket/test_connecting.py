"""How a bucket is reached: addresses, certificates, proxies, and credentials as the tools of each cloud find them."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from quire.domain.errors import ConfigurationError, StoreError
from quire.store.bucket.client import open_bucket
from quire.store.bucket.connecting import Connection, connection_to
from tests.serving import DEADLINE, environment, run_quire

KEYS = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_REGION": "eu-central-1"}
PROFILES = """
[default]
region = eu-north-1
aws_access_key_id = from-default
aws_secret_access_key = very-secret
[profile keys]
region = eu-west-3
aws_access_key_id = from-keys
aws_secret_access_key = very-secret
[profile process]
credential_process = {python} {home}/process.py
[profile broken]
credential_process = /bin/false
[profile sso]
sso_start_url = https://acme.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = Reader
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with the files of the AWS command line."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(PROFILES.format(python=sys.executable, home=tmp_path))
    keys = {"Version": 1, "AccessKeyId": "from-process", "SecretAccessKey": "very-secret"}
    (tmp_path / "process.py").write_text(f"print({json.dumps(json.dumps(keys))})")
    return tmp_path


def config(url: str, **variables: str) -> dict[str, Any]:
    return connection_to(url, variables).config


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bucket", "variables", "virtual", "endpoint"),
    [
        ("acme", {}, True, None),
        ("acme.packages", {}, False, None),
        ("Acme", {}, False, None),
        ("acme", {"AWS_ENDPOINT_URL": "http://minio:9000/"}, False, "http://minio:9000"),
        ("acme", {"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_S3": "http://b:2"}, False, "http://b:2"),
        ("acme", {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false"}, False, None),
        (
            "acme",
            {"AWS_ENDPOINT_URL": "https://oss.example", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"},
            True,
            "https://acme.oss.example",
        ),
        (
            "acme",
            {"AWS_ENDPOINT_URL": "https://acme.oss.example", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"},
            True,
            "https://acme.oss.example",
        ),
    ],
)
def test_the_name_of_the_bucket_is_where_the_server_expects_it(
    bucket: str, variables: dict[str, str], virtual: bool, endpoint: str | None
) -> None:
    """In the host's name at AWS, in the path elsewhere and for names that no certificate fits; a variable decides."""
    found = config(f"s3://{bucket}/python", HOME="/nowhere", **variables)
    assert found["virtual_hosted_style_request"] is virtual
    assert found.get("endpoint") == endpoint


def test_plain_http_is_for_servers_that_are_named_so() -> None:
    """Never for a cloud's own."""
    for scheme, name in (("s3", "AWS_ENDPOINT_URL"), ("az", "AZURE_STORAGE_ENDPOINT"), ("gs", "GOOGLE_BASE_URL")):
        assert connection_to(f"{scheme}://a/b", {name: "http://127.0.0.1:9"}).client_options["allow_http"]
        assert "allow_http" not in connection_to(f"{scheme}://a/b", {name: "https://127.0.0.1:9"}).client_options


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "minio", "https://", "ftp://host/", "http://host name/"])
def test_an_address_that_is_no_url_is_refused(endpoint: str) -> None:
    """obstore would panic at some of them."""
    with pytest.raises(ConfigurationError, match=r"^AWS_ENDPOINT_URL is no URL; give one as in https://host:port\.$"):
        open_bucket("s3://acme-packages/python", {"AWS_ENDPOINT_URL": endpoint})


def test_credentials_in_the_address_of_a_server_are_refused() -> None:
    """The sentence does not repeat them."""
    with pytest.raises(ConfigurationError, match="AWS_ENDPOINT_URL has a user or a password") as caught:
        open_bucket("s3://acme/python", {**KEYS, "AWS_ENDPOINT_URL": "https://user:hidden@minio:9000"})
    assert "hidden" not in str(caught.value)


# -- profiles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "key", "region"),
    [
        ({}, "from-default", "eu-north-1"),
        ({"AWS_PROFILE": "keys"}, "from-keys", "eu-west-3"),
        ({"AWS_PROFILE": "keys", "AWS_REGION": "us-west-2"}, "from-keys", "us-west-2"),
        ({"AWS_PROFILE": "process"}, "from-process", None),
    ],
)
def test_profiles_lead_to_credentials(home: Path, variables: dict[str, str], key: str, region: str | None) -> None:
    """Keys, a process, the default profile; AWS_REGION is stronger than the profile's."""
    found, found_key = profile(home, **variables)
    assert found_key == key
    assert found.config.get("region") == region


@pytest.mark.parametrize(
    "variables",
    [KEYS, {**KEYS, "AWS_PROFILE": "keys"}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:..."}],
    ids=["keys", "keys and a profile", "web identity"],
)
def test_keys_and_roles_of_the_environment_are_stronger_than_files(home: Path, variables: dict[str, str]) -> None:
    """As the tools of AWS have it; a profile that is named is stronger than a role."""
    assert profile(home, **variables)[1] is None


def profile(home: Path, **variables: str) -> tuple[Connection, str | None]:
    """The connection, and the key that the profile leads to; botocore reads the variables of the process itself."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_CONFIG_FILE", str(home / ".aws" / "config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "none"))
        found = connection_to("s3://acme/python", {"HOME": str(home), **variables})
        provider: Any = found.credential_provider
        return found, None if provider is None else provider()["access_key_id"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "The profile of AWS_PROFILE cannot be used: The config profile (missing) could not be found."),
        ("broken", "Error when retrieving credentials from custom-process"),
        (
            "sso",
            "Error loading SSO Token: Token for https://acme.awsapps.com/start does not exist; run 'aws sso login'.",
        ),
    ],
)
def test_a_profile_that_cannot_be_used_is_one_sentence(home: Path, name: str, sentence: str) -> None:
    """At once, without a traceback."""
    done = run_quire("ls", "-d", "s3://acme/python", cwd=home, environ=cloudless(HOME=str(home), AWS_PROFILE=name))
    assert done.returncode in {1, 2}
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_profile_without_botocore_names_the_extra(home: Path) -> None:
    """A profile that nothing names is left alone then."""
    program = (
        "import sys\nsys.modules['botocore'] = None\n"
        "from quire.store.bucket.connecting import connection_to\n"
        "from quire.domain.errors import ConfigurationError\n"
        f"home = {str(home)!r}\n"
        "assert connection_to('s3://acme', {'HOME': home}).credential_provider is None\n"
        "try:\n    connection_to('s3://acme', {'HOME': home, 'AWS_PROFILE': 'keys'})\n"
        "except ConfigurationError as error:\n    print(error)\n"
    )
    assert python(program) == (
        "AWS_PROFILE=keys needs botocore; install quire-index[aws], or give the credentials themselves.\n"
    )


def test_botocore_is_imported_for_profiles_alone() -> None:
    """It takes a third of a second."""
    program = (
        "import sys\nfrom quire.store.bucket.client import open_bucket\n"
        f"open_bucket('s3://acme/python', {KEYS!r})\n"
        "print([name for name in sys.modules if name.startswith('botocore')])\n"
    )
    assert python(program) == "[]\n"


def python(program: str) -> str:
    """The output of a program."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=cloudless(), capture_output=True, text=True, check=True, timeout=DEADLINE
    )
    return done.stdout


def cloudless(**variables: str) -> dict[str, str]:
    """An environment without variables of clouds but those given."""
    kept = {name: value for name, value in environment().items() if not name.startswith(("AWS_", "AZURE_", "GOOGLE_"))}
    return kept | variables


# -- Azure ------------------------------------------------------------------------------------------------------------

_CONNECTION = "DefaultEndpointsProtocol=http;AccountName=acme;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:9/acme;"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {}),
        (
            {"AZURE_STORAGE_ACCOUNT": "acme", "AZURE_STORAGE_KEY": "a2V5"},
            {"account_name": "acme", "account_key": "a2V5"},
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": _CONNECTION},
            {"account_name": "acme", "account_key": "a2V5", "endpoint": "http://127.0.0.1:9/acme"},
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;SharedAccessSignature=sv=2022&sig=x%3D"},
            {"account_name": "acme", "sas_key": "sv=2022&sig=x%3D"},
        ),
    ],
)
def test_the_variables_of_the_azure_command_line_are_known(
    variables: dict[str, str], expected: dict[str, str], tmp_path: Path
) -> None:
    """Account and key under its names, and a connection string."""
    assert config("az://packages/python", HOME=str(tmp_path), **variables) == expected


def test_a_login_of_the_azure_command_line_is_used_where_nothing_else_is_said(tmp_path: Path) -> None:
    """After `az login`."""
    (tmp_path / ".azure").mkdir()
    (tmp_path / ".azure" / "azureProfile.json").write_text("{}")
    assert config("az://packages", HOME=str(tmp_path)) == {"use_azure_cli": True}
    for name in ("AZURE_STORAGE_SAS_TOKEN", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID"):
        assert "use_azure_cli" not in config("az://packages", HOME=str(tmp_path), **{name: "x"})


# -- certificates and proxies -----------------------------------------------------------------------------------------


class _Empty(BaseHTTPRequestHandler):
    """A server of an empty bucket."""

    def do_GET(self) -> None:
        self.send_response(404)
        code = "NoSuchLifecycleConfiguration" if self.path.endswith("?lifecycle") else "NoSuchKey"
        body = f"<Error><Code>{code}</Code></Error>".encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def https_port(certificates: Path) -> Iterator[int]:
    """The port of a server whose certificate only the authority of the tests vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server):
        yield server.server_port


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_authority_of_ones_own_is_trusted_where_a_variable_names_it(
    name: str, certificates: Path, https_port: int
) -> None:
    """And not otherwise; botocore trusts the same ones."""
    variables = {**KEYS, "AWS_ENDPOINT_URL": f"https://127.0.0.1:{https_port}", name: str(certificates / "ca.pem")}
    bucket = open_bucket("s3://acme/python", variables)
    assert bucket.get("format.json") is None
    assert bucket.control is not None
    assert bucket.control.lifecycle() == ()


def test_an_unknown_authority_is_not_trusted(https_port: int) -> None:
    """The connection fails, with a sentence that names the server and the variable for an authority of one's own."""
    variables = {**KEYS, "AWS_ENDPOINT_URL": f"https://127.0.0.1:{https_port}"}
    control = open_bucket("s3://acme/python", variables).control
    assert control is not None
    with pytest.raises(StoreError, match="SSL validation failed"):
        control.lifecycle()
    done = run_quire("ls", "-d", "s3://acme/python", cwd=Path("/"), environ=cloudless(**variables))
    assert done.returncode in {1, 2}
    assert f"the certificate of https://127.0.0.1:{https_port} is not trusted (UnknownIssuer)" in done.stderr
    assert "AWS_CA_BUNDLE" in done.stderr


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "cannot be read: No such file or directory; name a file in PEM format."),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_text("certificate"), "has no certificate"),
        (
            lambda path: path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "cannot be used",
        ),
    ],
    ids=["missing", "directory", "text", "damaged"],
)
def test_a_file_without_certificates_is_one_sentence(
    make: Callable[[Path], object], sentence: str, tmp_path: Path
) -> None:
    """It is found when the server starts."""
    make(tmp_path / "ca.pem")
    with pytest.raises(ConfigurationError) as caught:
        open_bucket("s3://acme/python", {**KEYS, "AWS_CA_BUNDLE": str(tmp_path / "ca.pem")})
    assert sentence in str(caught.value)


def test_a_proxy_is_used_where_a_variable_names_it(certificates: Path, https_port: int, tmp_path: Path) -> None:
    """For servers whose names only the proxy knows."""
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_response_only(200)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", https_port)) as far:
                back = threading.Thread(target=pump, args=(far, self.connection), daemon=True)
                back.start()
                pump(self.connection, far)
                back.join()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server, running(server):
        environ = cloudless(
            **KEYS,
            AWS_ENDPOINT_URL="https://bucket.example",
            AWS_CA_BUNDLE=str(certificates / "ca.pem"),
            HTTPS_PROXY=f"http://127.0.0.1:{server.server_port}",
        )
        done = run_quire("ls", "-d", "s3://acme/python", cwd=tmp_path, environ=environ)
    assert "There is no store in s3://acme/python" in done.stderr, done.stderr
    assert set(asked) == {"bucket.example:443"}


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass the bytes of one connection to another, until the first one ends."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
