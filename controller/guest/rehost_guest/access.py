"""Who may enter, as the file that Jupyter's identity provider reads: hashes of tokens, never a token."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Iterable

OWNER = "owner"
GUEST = "guest"


class Access:
    """The file of hashes, and the guest's own token, with which it asks Jupyter what its kernels do."""

    def __init__(self, file: Path, token_file: Path) -> None:
        self.file = file
        self.token = _own_token(token_file)

    def allow(self, token_hashes: Iterable[str]) -> None:
        """Lets in who has a token with one of these hashes, and nobody else. Takes effect at once."""
        names = {digest: OWNER for digest in token_hashes}
        names[hashlib.sha256(self.token.encode()).hexdigest()] = GUEST
        text = json.dumps(names)
        if not self.file.exists() or self.file.read_text() != text:
            beside = self.file.with_suffix(".new")
            beside.write_text(text)
            os.replace(beside, self.file)


def _own_token(file: Path) -> str:
    """One token for each boot, so that a supervisor that is started again still knows it."""
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as new:
            new.write(secrets.token_urlsafe(32))
    return file.read_text()
