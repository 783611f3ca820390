"""A discovery behind its HTTP application, and requests to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx

from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.service import DiscoveryApp
from skywire.wire.discovery import Answer
from skywire.wire.entry import Entry, Extra
from tests.wire.memory_discovery import ALICE, client_entry

BASE = "http://discovery"


@asynccontextmanager
async def http_to(directory: Directory) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of a directory."""
    transport = httpx.ASGITransport(DiscoveryApp(directory))
    async with httpx.AsyncClient(base_url=BASE, transport=transport) as client:
        yield client


async def exchange(
    client: httpx.AsyncClient, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Answer:
    response = await client.request(method, path, content=body, headers=headers)
    assert response.headers["content-length"] == str(len(response.content))
    return Answer(response.status_code, response.content, response.headers.get("content-type", ""))


async def post(client: httpx.AsyncClient, entry: Entry, query: str = "") -> Answer:
    return await exchange(client, "POST", f"/dmsg-discovery/entry/{query}", entry.to_json())


async def delete(client: httpx.AsyncClient, entry: Entry) -> Answer:
    return await exchange(client, "DELETE", "/dmsg-discovery/entry", entry.to_json())


def entry_of_size(size: int) -> Entry:
    """An entry of ALICE whose JSON has so many bytes."""
    unsigned = replace(client_entry(), signature="0" * 130, extras=(Extra("", "x", '""'),))
    filled = Extra("", "x", f'"{"x" * (size - len(unsigned.to_json()))}"')
    return replace(unsigned, signature="", extras=(filled,)).sign(ALICE)
