"""The command ``curl``: one HTTP request to a peer."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import httpx
from cyclopts import Parameter

from skywire.cli.dmsg.connection import DEFAULTS, Options, peer_address, run
from skywire.cli.dmsg.transfer import Transfer
from skywire.cli.program import Json, UsageError
from skywire.dmsg.network import DMSG
from skywire.http.client import DEFAULT_PORT

MAX_URL: Final = 8192
"""Characters."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a method is (RFC 9110 section 9.1)."""
STANDARD: Final = "-"
"""The name of the standard input and output."""


def curl(
    url: str,
    /,
    *,
    request: Annotated[str | None, Parameter(name=["--request", "-X"])] = None,
    header: Annotated[tuple[str, ...], Parameter(name=["--header", "-H"], negative="", show_default=False)] = (),
    data: Annotated[str | None, Parameter(name=["--data", "-d"], allow_leading_hyphen=True)] = None,
    data_file: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    output: Annotated[str, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)] = STANDARD,
    replace: Annotated[bool, Parameter(negative="")] = False,
    resume: Annotated[bool, Parameter(name=["--continue", "-C"], negative="")] = False,
    include: Annotated[bool, Parameter(name=["--include", "-i"], negative="")] = False,
    head: Annotated[bool, Parameter(name=["--head", "-I"], negative="")] = False,
    fail: Annotated[bool, Parameter(name=["--fail", "-f"], negative="")] = False,
    retry: Annotated[int, Parameter(name=["--retry", "-r"])] = 0,
    retry_wait: float = 1.0,
    max_size: int | None = None,
    as_json: Json = False,
    options: Options = DEFAULTS,
) -> None:
    """Send an HTTP request to a peer, and write the body of the answer.

    Parameters
    ----------
    url:
        dmsg://KEY:PORT/PATH; the port is 80 unless given.
    request:
        The method; GET unless there is something to send, then POST.
    header:
        A header field to send, as 'Name: value'. May be repeated.
    data:
        The text to send.
    data_file:
        The file to send; - is the standard input.
    output:
        The file to write; - is the standard output. It gets its name when it is complete, and is FILE.part until then.
    replace:
        Replace the file if it exists.
    resume:
        Go on where an earlier attempt to get the file ended. A file that is complete is replaced. An answer with
        another status than 200 or 206 leaves everything as it is.
    include:
        Write the head of the answer to the standard output, too.
    head:
        Ask for the head of the answer alone.
    fail:
        An answer whose status is an error is a failure, and its body is not written.
    retry:
        How often to try again when the peer cannot be reached or the answer breaks off.
    retry_wait:
        Seconds between two attempts.
    max_size:
        Most bytes that the body may have.
    """
    sends = data is not None or data_file is not None
    method = request or ("HEAD" if head else "POST" if sends else "GET")
    to_file = output != STANDARD
    headers = _headers(header)
    for is_wrong, why in (
        (not _TOKEN.fullmatch(method), f"--request is one word of HTTP, this is {method[:100]!r}"),
        (to_file and not Path(output).name, f"--output names a file, this is {output[:100]!r}"),
        (data is not None and data_file is not None, "a text is sent or a file: use --data or --data-file, not both"),
        (head and (sends or to_file), "--head has nothing to send, and gets nothing that a file could hold"),
        (head and method != "HEAD", f"--head is a HEAD, --request says {method}"),
        (as_json and include, "--json tells the head of the answer already: leave --include out"),
        (
            as_json and not (to_file or head),
            "the facts and the body cannot both go to the standard output: name a file with --output",
        ),
        ((replace or resume) and not to_file, "--replace and --continue are about a file: name it with --output"),
        (resume and method != "GET", f"--continue goes on with what was got, this is a {method}"),
        (resume and "range" in headers, "--continue asks for a range of its own"),
        (retry < 0 or not 0 <= retry_wait < math.inf, "--retry and --retry-wait are 0 or more"),
        (retry > 0 and data_file == STANDARD, "the standard input cannot be sent twice: leave --retry out"),
        (max_size is not None and max_size < 0, "--max-size is 0 or more"),
    ):
        if is_wrong:
            raise UsageError(why)
    if sends:
        # As upstream has it.
        headers.setdefault("content-type", "text/plain" if data is not None else "application/octet-stream")
    transfer = Transfer(
        url=_checked(url),
        method=method,
        headers=headers,
        data=data,
        data_file=data_file,
        output=Path(output) if to_file else None,
        replace=replace,
        resume=resume,
        show_head=include or (head and not as_json),
        fail=fail,
        retries=retry,
        retry_wait=retry_wait,
        max_size=max_size,
        as_json=as_json,
    )
    run(options, transfer.run)


def _checked(text: str) -> httpx.URL:
    if len(text) > MAX_URL:
        raise UsageError(f"a URL has at most {MAX_URL} characters")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UsageError(f"{text[:100]!r} is no URL: {error}") from None
    if url.scheme != DMSG or not url.host or url.userinfo:
        raise UsageError(f"a URL is dmsg://<public key>[:<port>]/<path>, this is {text[:100]!r}")
    peer_address(url.netloc.decode("ascii"), default_port=DEFAULT_PORT)
    return url


def _headers(texts: Sequence[str]) -> httpx.Headers:
    fields = []
    for text in texts:
        name, colon, value = text.partition(":")
        try:
            fields.append((name.strip().encode("ascii"), value.strip().encode("latin-1")))
        except UnicodeEncodeError:
            colon = ""
        if not (colon and name.strip()):
            raise UsageError(f"a header field is 'Name: value', this is {text[:100]!r}")
    return httpx.Headers(fields)
