"""Where a webhook may go: its address taken apart, and which machines are out of bounds. Pure.

An administrator enters the address, yet a name may later point elsewhere; so what is judged is
the network address of each attempt, and the connection goes to exactly that one (no rebinding).
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from catalog.errors import Refused

URL_MAX: Final = 500
PORTS: Final = {"http": 80, "https": 443}

_METADATA: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: AWS, Azure, Huawei, Tencent
        "fe80::/10",
        "100.100.100.200/32",  # Alibaba Cloud
        "fd00:ec2::254/128",  # AWS over IPv6
    )
)
"""Where a cloud hands its keys to whoever asks from inside: never, whatever the settings say."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Destination(NamedTuple):
    """An address taken apart."""

    scheme: str
    host: str
    """A name or an IP address, without brackets."""
    port: int
    target: str
    """Path and query, as they are sent."""

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def at(self, address: str) -> str:
        """The same place by the network address it was resolved to."""
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}{self.target}"


def parse(url: str) -> Destination:
    """Take an address apart. Raises Refused ``webhook_url`` with the reason in Chinese."""
    url = url.strip()
    if len(url) > URL_MAX:
        raise Refused("webhook_url", reason=f"最多 {URL_MAX} 个字符")
    if not url.isascii() or any(c <= " " for c in url):
        raise Refused("webhook_url", reason="只能用英文字母、数字和符号，中间不能有空格")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused("webhook_url", reason="写法不对") from None
    if parts.scheme not in PORTS:
        raise Refused("webhook_url", reason="要以 http:// 或 https:// 开头")
    if not host or "%" in host or port == 0:
        raise Refused("webhook_url", reason="写法不对")
    if parts.username is not None or parts.password is not None:
        raise Refused("webhook_url", reason="不要把用户名和密码写在地址里")
    query = f"?{parts.query}" if parts.query else ""
    return Destination(
        parts.scheme, host, port or PORTS[parts.scheme], f"{parts.path or '/'}{query}"
    )


def literal(host: str) -> Address | None:
    """The address a host is, when it is one and no name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def allowed(address: Address, reach: str) -> bool:
    """Whether a webhook may be sent there; ``reach`` is the setting: public, private, any."""
    address = _meant(address)
    if any(address in network for network in _METADATA):
        return False
    if address.is_multicast or address.is_unspecified:
        return False
    if address.is_loopback:
        return reach == "any"
    if address.is_reserved:
        return False
    return address.is_global or reach in ("private", "any")


def _meant(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that stands for it (mapped, 6to4, NAT64)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
