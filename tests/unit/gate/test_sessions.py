"""What MySQL's and MariaDB's process list says of where a session comes from."""

from __future__ import annotations

import pytest

from guard.gate.witnesses.sessions import without_port


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.7:51234", "10.0.0.7"),
        ("app.internal:51234", "app.internal"),
        ("2001:db8::5:52344", "2001:db8::5"),
        ("::1:40000", "::1"),
        ("localhost", "localhost"),
        ("", ""),
    ],
)
def test_an_address_is_told_from_its_port(host: str, address: str) -> None:
    assert without_port(host) == address
