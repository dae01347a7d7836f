"""What a private repository asks for. It comes from Secret Manager by the host's own identity, or from a file that a
pod mounts; it is never in the settings, in a command line or in what is said."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Dict, Iterator

from .metadata import MetadataServer, MetadataUnavailable
from .paths import GROUP_ID, USER_ID, Paths

SECRET_MANAGER = "https://secretmanager.googleapis.com"
_SSH = "ssh -i {key} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
# git asks for a user and then for a password; a token without a user goes by any name.
_ASKPASS = """#!/bin/sh
case "$1" in
  Username*) sed -n 1p "{file}" ;;
  *) sed -n 2p "{file}" ;;
esac
"""


class CredentialsMissing(Exception):
    """The secret cannot be read. Says why, and never what is in it."""


def fetch(secret: str, metadata: MetadataServer, endpoint: str = SECRET_MANAGER) -> str:
    """Reads a secret: the folder of a mounted Secret begins with a slash, everything else is one of Secret Manager's."""
    try:
        if secret.startswith("/"):
            return _mounted(Path(secret))
        request = urllib.request.Request(
            f"{endpoint}/v1/{secret}/versions/latest:access",
            headers={"Authorization": f"Bearer {metadata.access_token()}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return base64.b64decode(json.load(answer)["payload"]["data"]).decode()
    except urllib.error.HTTPError as why:
        raise CredentialsMissing(f"{secret} was answered with {why.code}") from why
    except KeyError as why:
        raise CredentialsMissing(f"{secret}: the host has no identity of its own, or the secret is empty") from why
    except (OSError, ValueError, MetadataUnavailable) as why:
        raise CredentialsMissing(f"{secret} cannot be read: {type(why).__name__}") from why


def _mounted(place: Path) -> str:
    """What a Secret holds, whose entries are files of a folder; or a single file."""
    if place.is_file():
        return place.read_text()
    # What the kubelet keeps beside the entries begins with dots.
    entries = {path.name: path for path in place.iterdir() if not path.name.startswith(".")}
    if "ssh-privatekey" in entries:
        return entries["ssh-privatekey"].read_text()
    if "username" in entries and "password" in entries:
        return f"{entries['username'].read_text().strip()}:{entries['password'].read_text().strip()}"
    if len(entries) == 1:
        return next(iter(entries.values())).read_text()
    wanted = "an entry ssh-privatekey, or username and password, or one entry with a token"
    raise CredentialsMissing(f"the Secret of the repository is not there or lacks what is needed: {wanted}")


@contextlib.contextmanager
def offered(text: str, paths: Paths) -> Iterator[Dict[str, str]]:
    """The environment in which git finds a credential, while the block runs: a private key for ssh, or `user:token` or
    a token for https. The files are the person's to read, since git runs as them, and are gone afterwards."""
    if not text:
        yield {}
        return
    with tempfile.TemporaryDirectory(dir=paths.jupyter, prefix="git-") as folder:
        if text.lstrip().startswith("-----BEGIN"):
            key = _file(Path(folder) / "key", text.strip() + "\n", 0o600)
            found = {"GIT_SSH_COMMAND": _SSH.format(key=key)}
        else:
            user, colon, token = text.strip().partition(":")
            answers = f"{user}\n{token}\n" if colon else f"token\n{user}\n"
            file = _file(Path(folder) / "answers", answers, 0o600)
            found = {"GIT_ASKPASS": str(_file(Path(folder) / "ask", _ASKPASS.format(file=file), 0o700))}
        _give(Path(folder))
        yield found


def _file(path: Path, text: str, mode: int) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as new:
        new.write(text)
    _give(path)
    return path


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, USER_ID, GROUP_ID)
