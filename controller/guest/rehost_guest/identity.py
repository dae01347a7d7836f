"""Who may enter Jupyter: whoever shows a token whose SHA-256 this host was given. Runs inside jupyter-server.

The host never knows the token itself. The hashes are read anew when their file changes, so that keys rotate without a
restart; a cookie carries the hash of the token that it was got with, so that it ends with that token.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from typing import Any, Dict, Optional, Tuple

from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.auth.logout import LogoutHandler
from traitlets import Type, Unicode

# What a person's own settings cannot change, whichever way they were given.
_PINNED = {
    "xsrf_cookies": True,
    "disable_check_xsrf": False,
    "allow_origin": "",
    "allow_credentials": False,
    "allow_unauthenticated_access": False,
}


class TokenHashIdentityProvider(IdentityProvider):
    """Compares the hash of what was shown with the hashes in the file that `REHOST_ACCESS` names."""

    # Not settings any more: there is no token to be set, and no other way in.
    token = Unicode("")
    login_handler_class = Type(default_value=LoginFormHandler, klass=LoginFormHandler)
    logout_handler_class = Type(default_value=LogoutHandler, klass=LogoutHandler)

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._file = os.environ["REHOST_ACCESS"]
        self._read: Tuple[int, Dict[str, str]] = (0, {})

    def _accepted(self) -> Dict[str, str]:
        """The hashes that are let in, with the name of who has the token. None at all where they cannot be read."""
        try:
            changed = os.stat(self._file).st_mtime_ns
            if changed != self._read[0]:
                with open(self._file) as file:
                    self._read = (changed, json.load(file))
        except (OSError, ValueError) as why:
            self.log.error("Nobody is let in: %s", why)
            self._read = (0, {})
        return self._read[1]

    def _user_of(self, shown: Optional[str]) -> Optional[User]:
        if not shown:
            return None
        digest = hashlib.sha256(shown.encode()).hexdigest()
        # All of them are compared, each in constant time.
        matches = [name for known, name in self._accepted().items() if hmac.compare_digest(known, digest)]
        return _user(matches[0], digest) if matches else None

    async def get_user_token(self, handler: Any) -> Optional[User]:
        return self._user_of(self.get_token(handler))

    def process_login_form(self, handler: Any) -> Optional[User]:
        return self._user_of(handler.get_argument("password", default=""))

    def user_to_cookie(self, user: User) -> str:
        return user.username

    def user_from_cookie(self, cookie_value: str) -> Optional[User]:
        for digest, name in self._accepted().items():
            user = _user(name, digest)
            if hmac.compare_digest(user.username, cookie_value):
                return user
        return None

    def validate_security(self, app: Any, ssl_options: Optional[Dict[str, Any]] = None) -> None:
        """Called when the web application is made, before it listens: what must hold is set here, last of all."""
        super().validate_security(app, ssl_options)
        app.web_app.settings.update(_PINNED, identity_provider=self, allow_origin_pat=None)


def _user(name: str, digest: str) -> User:
    return User(username=f"{name}-{digest[:32]}", name=name, display_name=name.capitalize())
