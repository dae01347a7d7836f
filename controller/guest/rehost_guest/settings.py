"""The one document of settings that a host gets. The words are those of `crds/src/guest.rs`.

The controller has checked it; it is checked again here, because what follows runs as root and whoever may set an
instance's metadata may have written it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional

SERVE = "Serve"
RELEASE = "Release"


class SettingsError(ValueError):
    """The document is not one that the guest can follow. Names the field, the value and what would be right."""


@dataclass(frozen=True)
class Home:
    device: str
    content_id: str
    format: bool
    copied_from: Optional[str] = None


@dataclass(frozen=True)
class Bucket:
    path: str
    name: str
    prefix: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class Source:
    repository: str
    path: str
    reference: str = ""
    secret: str = ""


@dataclass(frozen=True)
class StatusPort:
    port: int
    token_hash: str


@dataclass(frozen=True)
class Kernels:
    python: str = ""
    packages: tuple = ()


@dataclass(frozen=True)
class Packages:
    jupyterlab: str = "4.6.6"
    index: str = ""
    gcsfuse: str = ""
    accelerator_driver: str = ""


@dataclass(frozen=True)
class Settings:
    notebook: str
    uid: str
    role: str
    nonce: str
    home: Home
    port: int
    base_path: str = "/"
    token_hashes: tuple = ()
    accelerators: int = 0
    buckets: tuple = ()
    source: Optional[Source] = None
    kernels: Kernels = field(default_factory=Kernels)
    status: Optional[StatusPort] = None
    packages: Packages = field(default_factory=Packages)


def parse(text: str) -> Settings:
    """Reads the document. Raises `SettingsError`."""
    try:
        document = json.loads(text)
    except ValueError as why:
        raise SettingsError(f"the settings are not JSON: {why}") from why
    return _settings(_Fields(document, ""))


class _Fields:
    """An object of the document, whose fields are taken one by one with their form."""

    def __init__(self, document: Any, where: str) -> None:
        if not isinstance(document, Mapping):
            raise SettingsError(f"{where or 'the settings'} is {document!r}: write an object")
        self.document, self.where = document, where

    def _bad(self, name: str, right: str) -> SettingsError:
        return SettingsError(f"{self.where}{name} is {self.document.get(name)!r}: write {right}")

    def text(self, name: str, form: str, right: str, default: Optional[str] = None) -> str:
        value = self.document.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not re.fullmatch(form, value):
            raise self._bad(name, right)
        return value

    def number(self, name: str, low: int, high: int, default: Optional[int] = None) -> int:
        value = self.document.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._bad(name, f"a number from {low} to {high}")
        return value

    def flag(self, name: str, default: Optional[bool] = None) -> bool:
        value = self.document.get(name, default)
        if not isinstance(value, bool):
            raise self._bad(name, "true or false")
        return value

    def object(self, name: str) -> "_Fields":
        return _Fields(self.document.get(name), f"{self.where}{name}.")

    def optional(self, name: str) -> "Optional[_Fields]":
        return None if self.document.get(name) is None else self.object(name)

    def list(self, name: str, read: Callable[[Any, str], Any]) -> tuple:
        value = self.document.get(name, [])
        if not isinstance(value, list):
            raise self._bad(name, "a list")
        return tuple(read(item, f"{self.where}{name}[{index}]") for index, item in enumerate(value))


_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_HASH = r"[0-9a-f]{64}"
_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_PATH = rf"{_PART}(/{_PART})*"
_REPOSITORY = r"(?!.*::)(?!.*@-)(https://|ssh://|git@)[A-Za-z0-9][^\s]*"
_REFERENCE = r"(?!.*\.\.)([A-Za-z0-9_]([A-Za-z0-9._/+-]*[A-Za-z0-9_+-])?)?"
_REQUIREMENT = r"[A-Za-z0-9][A-Za-z0-9 ._,<>=!~\[\]-]*"
_HTTPS = r"(https://[A-Za-z0-9][^\s]*)?"


def _settings(fields: _Fields) -> Settings:
    return Settings(
        notebook=fields.text("notebook", r"[^\n]{1,512}", "namespace/name"),
        uid=fields.text("uid", _ID, "the notebook's uid"),
        role=fields.text("role", f"{SERVE}|{RELEASE}", f"{SERVE} or {RELEASE}"),
        nonce=fields.text("nonce", r"[^\n]{0,256}", "a short text"),
        home=_home(fields.object("home")),
        port=fields.number("port", 1, 65535),
        base_path=fields.text("basePath", r"/([A-Za-z0-9._~-]+/)*", "a path such as /team-a/taxi/", "/"),
        token_hashes=fields.list("tokenHashes", _hash),
        accelerators=fields.number("accelerators", 0, 64, 0),
        buckets=fields.list("buckets", lambda item, where: _bucket(_Fields(item, f"{where}."))),
        source=_optional(fields.optional("source"), _source),
        kernels=_optional(fields.optional("kernels"), _kernels) or Kernels(),
        status=_optional(fields.optional("status"), _status),
        packages=_optional(fields.optional("packages"), _packages) or Packages(),
    )


def _optional(fields: Optional[_Fields], read: Callable[[_Fields], Any]) -> Any:
    return None if fields is None else read(fields)


def _hash(item: Any, where: str) -> str:
    if not isinstance(item, str) or not re.fullmatch(_HASH, item):
        raise SettingsError(f"{where} is not the SHA-256 of a token: write 64 hexadecimal digits")
    return item


def _home(fields: _Fields) -> Home:
    copied_from = fields.text("copiedFrom", f"({_ID})?", "a content id", "")
    return Home(
        device=fields.text("device", _ID, "the disk's device name, such as home"),
        content_id=fields.text("contentId", _ID, "the content id"),
        format=fields.flag("format"),
        copied_from=copied_from or None,
    )


def _bucket(fields: _Fields) -> Bucket:
    return Bucket(
        path=fields.text("path", _PATH, "a path below the home, such as data"),
        name=fields.text("name", r"[a-z0-9][a-z0-9._-]*[a-z0-9]", "a bucket's name, without gs://"),
        prefix=fields.text("prefix", r"(?!/)(?!(.*/)?\.\.(/|$))[^\n\0]{0,256}", "a prefix such as taxi/", ""),
        read_only=fields.flag("readOnly", False),
    )


def _source(fields: _Fields) -> Source:
    return Source(
        repository=fields.text("repository", _REPOSITORY, "https://, ssh:// or git@ and a host"),
        path=fields.text("path", _PATH, "a path below the home, such as course"),
        reference=fields.text("ref", _REFERENCE, "one branch, tag or commit", ""),
        secret=fields.text(
            "secret",
            r"(projects/[a-z0-9:.-]+/secrets/[A-Za-z0-9_-]+|/[A-Za-z0-9._/-]+)?",
            "a secret of Secret Manager or a mounted file",
            "",
        ),
    )


def _kernels(fields: _Fields) -> Kernels:
    def package(item: Any, where: str) -> str:
        if not isinstance(item, str) or not re.fullmatch(_REQUIREMENT, item):
            raise SettingsError(f"{where} is {item!r}: write a package such as pandas or pandas>=2")
        return item

    return Kernels(
        python=fields.text("python", r"([0-9]+\.[0-9]+)?", "a version such as 3.12", ""),
        packages=fields.list("packages", package),
    )


def _status(fields: _Fields) -> StatusPort:
    return StatusPort(
        port=fields.number("port", 1, 65535),
        token_hash=fields.text("tokenHash", _HASH, "the SHA-256 of a token as 64 hexadecimal digits"),
    )


def _packages(fields: _Fields) -> Packages:
    return Packages(
        jupyterlab=fields.text("jupyterlab", r"[0-9]+(\.[0-9]+)*", "a version such as 4.6.6", Packages.jupyterlab),
        index=fields.text("index", _HTTPS, "an https:// address of a package index", ""),
        gcsfuse=fields.text("gcsfuse", _HTTPS, "an https:// address of gcsfuse, a program or a .deb", ""),
        accelerator_driver=fields.text("acceleratorDriver", _HTTPS, "an https:// address of an installer", ""),
    )
