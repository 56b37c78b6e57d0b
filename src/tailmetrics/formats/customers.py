"""Who the customer of a request is: the first field of a list that says something."""

from __future__ import annotations

import re
from typing import Final, TypeVar

import polars as pl

from tailmetrics.formats.fields import MISSING
from tailmetrics.formats.paths import customer_regex
from tailmetrics.formats.reasons import found_instead

Text = TypeVar("Text", pl.Series, pl.Expr)

# What fields begin with that no line has, but what carried it: a message of Kafka, or an envelope.
_OF_CARRIERS = ("kafka:", "envelope:")
_FORWARDED = re.compile(r"x[_-]?forwarded[_-]?for(?:\}i|\))?\Z", re.IGNORECASE)  # as servers name the header
# In names of fields, columns, headers and keys; that of the client is told by an address.
_HOST = re.compile(r"(?i:(?<![a-z])(?:v?host|authority)(?![a-z]))|[a-z0-9](?<!lient)(?<!emote)Host(?![a-z])")
_FIRST_OF_LIST = r"\A([^,]*)"
_HOST_AND_PORT = r"\A([^:\[]+|\[[^\]]*\]):[0-9]+\z"
# What grep writes before a line: the name of its file, its number, or both. An address of IPv6 has no more
# than hexadecimal digits before its colons, and only a port follows the name of a host.
_BEHIND_FILE: Final = (
    r"[^0-9A-Fa-f:.\[\]%].*:.*[^0-9]|\A(?:[0-9A-Za-z.]+:){1,2}[0-9]{1,3}(?:\.[0-9]{1,3}){3}\z"
)
_ADDRESS_AND_PORT: Final = r"\A(?:((?:[0-9]{1,3}\.){3}[0-9]{1,3})|\[([0-9A-Fa-f:.]+)\]):[0-9]{1,5}\z"
_ADDRESS: Final = "${1}${2}"  # of what the pattern above finds
_MARKS: Final = "[:,]"  # of an address with a port, and of several addresses
# The first of addresses with commas between, with its port.
_ADDRESSES: Final = (
    r"(?s)\A((?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"|[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*) *,.*\z"
)
_IS_BEHIND_FILE = re.compile(_BEHIND_FILE.replace(r"\z", r"\Z"))
EXPECTED_ADDRESS: Final = (
    "an address without the name of a file or the number of a line before it, as grep writes them: use "
    "grep -h without -n, or zgrep -h"
)
# What logs write for nobody; Apache writes quotes for who gave an empty name.
_NOBODY: Final = (*MISSING, '""')


def is_forwarded(name: str) -> bool:
    """Whether a field holds the addresses that a request came by, of which the first is the client's."""
    return _FORWARDED.search(name) is not None


def is_host(name: str) -> bool:
    """Whether a field holds the host that was asked for, as clients name it in a header."""
    return _HOST.search(name) is not None


def first_of_list(text: Text) -> Text:
    """Of each text what is before its first comma."""
    return text.str.extract(_FIRST_OF_LIST)


def named_by(text: pl.Expr, *, is_list: bool) -> pl.Expr:
    """Who a field says that it is, of a list the first without a port; null where it says nobody."""
    name = first_of_list(text).str.replace(_ADDRESS_AND_PORT, _ADDRESS) if is_list else text
    return pl.when(~name.is_in(_NOBODY)).then(name)


def without_port(host: pl.Series) -> pl.Series:
    """The names of hosts, or their addresses, of which those of IPv6 with a port are in brackets."""
    places = host.str.contains(":", literal=True).fill_null(value=False).arg_true()
    if places.is_empty():
        return host
    return host.clone().scatter(places, host.gather(places).str.replace(_HOST_AND_PORT, "$1"))


def have_marks(text: pl.Series) -> bool:
    """Whether any text may be an address with a port, or a list of addresses."""
    return bool(text.str.contains(_MARKS).any())


def clients(address: pl.Series) -> pl.Series:
    """The addresses, of several the first, without the ports, each of which would be another customer."""
    if not have_marks(address):
        return address
    if address.str.contains(",", literal=True).any():
        address = address.str.replace(_ADDRESSES, "$1")
    return address.str.replace(_ADDRESS_AND_PORT, _ADDRESS)


def are_odd(customer: pl.Series) -> pl.Series:
    """Which customers are addresses or hosts with a port, or have before them what grep writes of a file."""
    return customer.str.contains(f"{_BEHIND_FILE}|{_ADDRESS_AND_PORT}|{_HOST_AND_PORT}")


def is_behind_file(address: str) -> bool:
    """Whether an address has before it what grep writes of the file that a line is of."""
    return _IS_BEHIND_FILE.search(address) is not None


def problem_of_address(customer: pl.Series, address: pl.Series) -> pl.Expr:
    """Why an address is no customer; null where it is one, or where another field tells him."""
    behind = address.str.contains(_BEHIND_FILE)
    if not behind.any():
        return pl.lit(None, pl.String())
    found = found_instead("customer_id", pl.lit(address), EXPECTED_ADDRESS)
    return pl.when(behind & (customer == address)).then(found)


def is_told(name: str) -> bool:
    """Whether a field of LOG_CUSTOMER is told by what carried a line, and not by the line."""
    return name.startswith(_OF_CARRIERS)


def told_names(preference: tuple[str, ...]) -> list[str]:
    """Those of the fields that are told by what carried the lines."""
    return [name for name in preference if is_told(name)]


def chosen(fields: pl.DataFrame, preference: tuple[str, ...]) -> pl.Series:
    """The customer of each row, null where no field says who it is.

    `fields` has a column for each field that the log has, among them `path`, whose parts a preference that
    begins with a slash is about.
    """
    choices = []
    for name in preference:
        if name.startswith("/"):
            choices.append(pl.col("path").str.extract(customer_regex(name), 1))
        elif name in fields.columns:
            choices.append(named_by(pl.col(name), is_list=is_forwarded(name)))
    customer = pl.coalesce(*choices, pl.lit(None, pl.String())).alias("customer_id")
    return fields.with_columns(customer)["customer_id"]
