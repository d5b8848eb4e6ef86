from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.errors import FetchError, InvalidInput
from kinema.serve.addresses import Rules, is_public, parse

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1",
    "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "172.15.0.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_the_public_internet(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_nothing_is_public_that_python_knows_to_be_private(address: IPv4Address | IPv6Address) -> None:
    assert not is_public(address) or address.is_global


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "example.com", "//example.com/", "http:///x", "http://", "ftp://example.com/", "file:///etc/passwd",
        "gopher://example.com/", "javascript:alert(1)", "data:image/png;base64,AAAA", "unix:///run/x", "http+unix://x/",
        "http://user@example.com/", "http://user:secret@example.com/", "http://example.com@127.0.0.1/", "http://@example.com/",
        "http://exam ple.com/", "http://example.com/a b", "http://example.com/\r\nHost: x", "http://example.com/\x00", "http://a\tb/",
        "http://example.com\\@127.0.0.1/", "http:\\\\example.com/", "http://example.com:0/", "http://example.com:65536/",
        "http://example.com:80:80/", "http://example.com:8a/", "http://example.com:-1/", "http://[::1/", "http://::1/", "http://[::1]x/",
        "http://[::1]x:80/", "http://[::1%25eth0]/", "http://[::1%eth0]/", "http://[fe80::1%1]/", "http://[127.0.0.1]/", "http://[]/",
        "http://[v1.x]/", "http://.example.com/", "http://example..com/", "http://example.com../", "http://-a.com/", "http://a-.com/",
        "http://" + "a" * 64 + ".com/", "http://" + "a." * 130 + "com/", "http://example.com/" + "a" * 2048, "http://%31%32%37.0.0.1/",
        "http://a%2fb.com/", "http://ex℀mple.com/", "http://exa/..\\mple", "http://*.example.com/", "http://a,b/", "http://a'b/",
        "http://\u200b/", "http://exa\u200bmple.com/", 5, None, b"http://example.com/", ["http://example.com"],
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url: object) -> None:
    with pytest.raises(FetchError, match="^image: ") as refused:
        parse(url, field="image")
    assert refused.value.code == "refused"


@pytest.mark.parametrize("url", ["http://a@example.com/", "https://a:b@example.com/", "https://example.com@1.1.1.1/"])
def test_credentials_are_refused_as_such(url: str) -> None:
    with pytest.raises(FetchError, match="user name or password"):
        parse(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "017700000001", "0177.0.0.1", "0177.1",
        "127.0.0.01", "127.0.0.1.", "127.1.", "00000127.0.0.1", "1.2.3.4.5", "256.0.0.1", "0x", "0", "1", "a.1", "foo.0x1",
        "１２７.０.０.１", "127。0。0。1", "①②⑦.0.0.1", "⓪x7f.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001::1]", "[fe80::1]", "[fd00::1]",
        "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "192.168.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1",
    ],
)  # fmt: skip
def test_a_private_address_is_refused_in_every_spelling(host: str) -> None:
    with pytest.raises(FetchError):
        Rules().target(f"http://{host}/")


@pytest.mark.parametrize(
    "url,plain",
    [
        ("http://Example.COM", "http://example.com/"),
        ("https://example.com:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com:/", "http://example.com/"),
        ("HTTPS://example.com./x", "https://example.com/x"),
        ("http://bücher.example/ü?q=ü", "http://xn--bcher-kva.example/%C3%BC?q=%C3%BC"),
        ("http://例え.テスト/", "http://xn--r8jz45g.xn--zckzah/"),
        ("http://ｅｘａｍｐｌｅ.com/", "http://example.com/"),
        ("http://1.1.1.1/a%20b/../c", "http://1.1.1.1/a%20b/../c"),
        ("http://[2606:4700:0:0::1111]/", "http://[2606:4700::1111]/"),
        ('http://example.com/a"<>b', "http://example.com/a%22%3C%3Eb"),
        ("http://1e100.net/", "http://1e100.net/"),
        ("http://my_host.example/", "http://my_host.example/"),
    ],
)
def test_what_is_allowed_has_one_spelling(url: str, plain: str) -> None:
    assert Rules().target(url).url == plain
    assert parse(plain).url == plain


def test_ports_and_schemes_are_those_that_are_named() -> None:
    for url in ("http://example.com:22/", "http://example.com:8080/", "https://example.com:25/"):
        with pytest.raises(FetchError, match="port"):
            Rules().target(url)
    Rules(ports=(443, 8080)).target("http://example.com:8080/")
    with pytest.raises(FetchError, match="https://"):
        Rules(schemes=("https",)).target("http://example.com/")


@pytest.mark.parametrize(
    "allow,url,address,is_permitted",
    [
        ("10.0.0.0/8", "http://x/", "10.1.2.3", True),
        ("10.0.0.0/8", "http://x/", "192.168.0.1", False),
        ("10.0.0.0/8", "http://x/", "::ffff:10.1.2.3", False),
        ("10.0.0.1", "http://10.0.0.1/", "10.0.0.1", True),
        ("10.0.0.1:9000", "http://10.0.0.1:9000/", "10.0.0.1", True),
        ("10.0.0.1:9000", "http://10.0.0.1/", "10.0.0.1", False),
        ("10.0.0.1:9000", "http://10.0.0.2:9000/", "10.0.0.2", False),
        ("10.0.0.1:9000", "http://example.com:9000/", "1.1.1.1", False),
        ("Intranet.example", "http://intranet.example/", "10.0.0.9", True),
        ("intranet.example", "http://not-intranet.example/", "10.0.0.9", False),
        ("intranet.example:81", "http://intranet.example:81/", "127.0.0.1", True),
        ("[::1]:81", "http://[::1]:81/", "::1", True),
        ("::1", "http://[::1]/", "::1", True),
        ("fd00::/8", "https://x/", "fd12::1", True),
    ],
)
def test_what_an_operator_allows(allow: str, url: str, address: str, is_permitted: bool) -> None:
    rules = Rules(allow=(allow,))
    assert rules.permits(parse(url), ip_address(address)) == is_permitted


@pytest.mark.parametrize(
    "allow", ["", "a b", "http://x", "x:0", "x:65536", "10.0.0.0/33", "10.0.0.1/8", "*", "[::1", "x/8", "a:b"]
)
def test_what_can_t_be_allowed_is_refused(allow: str) -> None:
    with pytest.raises(InvalidInput, match="^allow: "):
        Rules(allow=(allow,))


def test_unknown_schemes_can_t_be_allowed() -> None:
    with pytest.raises(InvalidInput, match="^schemes: "):
        Rules(schemes=("ftp",))
