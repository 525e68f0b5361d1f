"""Addresses of devices: what is accepted can be nothing but a user, a host and a port."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import InputError
from deploy.devices.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://pi@raspberrypi.local", Address("raspberrypi.local", "pi")),
        ("ssh://pi@10.0.0.7:2222", Address("10.0.0.7", "pi", 2222)),
        ("ssh://jetson", Address("jetson")),
        ("ssh://root@[fe80::1%eth0]:22", Address("fe80::1%eth0", "root", 22)),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ssh://-oProxyCommand=touch%20owned", "no device's address"),
        ("ssh://user@-oProxyCommand=x", "no device's address"),
        ("ssh://-l@host", "no device's address"),
        ("ssh://user@host;reboot", "no device's address"),
        ("ssh://user@host\n", "no device's address"),
        ("ssh://user@$(reboot)", "no device's address"),
        ("ssh://us er@host", "no device's address"),
        ("ssh://", "no device's address"),
        ("http://user@host", "no device's address"),
        ("user@host", "write ssh://user@host"),
        ("ssh://user@host:0", "no port 0"),
        ("ssh://user@host:70000", "no port 70000"),
        ("ssh://user@host/tmp", "holds a path"),
    ],
)
def test_anything_else_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_address(text)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["ssh://user:hunter2@host", "ssh://user:hunter2@host:22", "user:hunter2@host"])
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_address(text)
    assert "password" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@given(st.text(alphabet="ab-@:/[]%.$ ;'\n0", max_size=20))
def test_no_accepted_part_looks_like_an_option_or_a_command(rest: str) -> None:
    try:
        address = parse_address(f"ssh://{rest}")
    except InputError:
        return
    for part in (address.host, address.user or "x"):
        assert not part.startswith("-")
        assert not set(part) & set(" ;'\n$/@")
    assert parse_address(str(address)) == address
