"""What is wrong with TLS: what Kafka's client says of it, in words of the URL."""

from __future__ import annotations

import re
from typing import Final

from tailmetrics.urls import KafkaUrl

_OF_BROKER: Final = re.compile(r"(?:\w+://)?(\S+)/(?:bootstrap|\d+): ")
_REFUSED: Final = re.compile(r"SSL alert number (?:4[2-6]|48|116)\b")  # all that are about certificates
_UNUSABLE: Final = re.compile(r"ssl\.(ca|certificate|key)\.location failed: (.*)")


def tls_problem(url: KafkaUrl, reason: str) -> str | None:
    """What was found, what was expected and what to do; None for what does not have to be mended here."""
    match = _OF_BROKER.match(reason)
    broker = f"the broker {match[1]}" if match else "a broker"
    if "certificate verify failed" in reason:
        trusted = f"in {url.ca_file}" if url.ca_file else "that this machine trusts"
        return (
            f"found a certificate of {broker} that cannot be trusted, expected one for this name, in date "
            f"and signed by a CA {trusted}; correct ca_file=, or the name in the URL or in the brokers' "
            "advertised.listeners"
        )
    if _REFUSED.search(reason):
        return (
            f"{broker} refuses this client: found {url.certificate_file or 'no certificate'}, expected a "
            "certificate of a CA that the brokers trust; correct certificate_file= and key_file="
        )
    if match := _UNUSABLE.search(reason):
        return _of_file(url, match[1], match[2])
    return None


def _of_file(url: KafkaUrl, which: str, reason: str) -> str:
    if which == "key":
        expected = f"the key of {url.certificate_file} as PEM, without a passphrase"
        return (
            f"found {url.key_file}, which cannot be used ({reason}), expected {expected}; correct key_file="
        )
    file = url.ca_file if which == "ca" else url.certificate_file
    return f"found no certificate in {file} ({reason}), expected some as PEM; correct {which}_file="
