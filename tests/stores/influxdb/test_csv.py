"""Flux's annotated CSV as frames."""

from __future__ import annotations

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.influxdb.csv import Answer, tables_of

CSV = (
    "#datatype,string,long,dateTime:RFC3339,double,string\r\n"
    "#group,false,false,false,false,true\r\n"
    "#default,rows,,,,\r\n"
    ",result,table,_time,_value,customer_id\r\n"
    ',,0,2024-10-10T12:00:00.000000123Z,0.5,"a, ""b"""\r\n'
    ",,0,1969-12-31T23:59:59.5Z,,\r\n"
    "\r\n"
    "#datatype,string,long,long\r\n"
    "#group,false,false,false\r\n"
    "#default,numbers,,\r\n"
    ",result,table,_value\r\n"
    ",,0,7\r\n"
    "\r\n"
)


def test_results_are_told_apart_by_their_names() -> None:
    found = tables_of(CSV.encode())
    assert found["rows"].rows() == [
        (1728561600000000123, 0.5, 'a, "b"'),
        (-500000000, None, ""),
    ]
    assert found["numbers"].rows() == [(7,)]


def test_an_answer_in_pieces_is_the_same_wherever_it_is_cut() -> None:
    data = CSV.encode()
    whole = {name: table.rows() for name, table in tables_of(data).items()}
    for length in range(1, len(data)):
        answer = Answer()
        for begin in range(0, len(data), length):
            answer.add(data[begin : begin + length])
        assert {name: table.rows() for name, table in answer.tables().items()} == whole


def test_nothing_is_no_result() -> None:
    assert tables_of(b"\r\n") == {}


def test_an_error_in_the_midst_of_an_answer_is_raised() -> None:
    head = "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n"
    error = f'{head},error,reference\r\n,"out of, memory",897\r\n'
    with pytest.raises(StoreUnavailable, match="out of, memory"):
        tables_of((CSV + error).encode())
