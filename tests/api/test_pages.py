from __future__ import annotations

import re

import httpx
import pytest


def test_the_first_page_is_the_dashboard(client: httpx.Client) -> None:
    response = client.get("/")
    assert (response.status_code, "/static/dashboard/main.js" in response.text) == (200, True)


def test_the_page_takes_everything_from_this_service(client: httpx.Client) -> None:
    addresses = re.findall(r'(?:src|href)="([^"]+)"', client.get("/docs").text)
    assert {address: client.get(address).status_code for address in addresses} == {
        "/static/swagger-ui/swagger-ui.css": 200,
        "/static/docs.css": 200,
        "/": 200,
        "/static/swagger-ui/favicon-32x32.png": 200,
        "/openapi.json": 200,
        "/static/swagger-ui/swagger-ui-bundle.js": 200,
        "/static/docs.js": 200,
    }


def test_the_page_has_no_inline_script_or_style(client: httpx.Client) -> None:
    text = client.get("/docs").text
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", text) == []


def test_the_page_may_run_no_inline_script_or_style(client: httpx.Client) -> None:
    policy = client.get("/docs").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect"])
def test_pages_that_need_the_internet_are_off(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404
