"""What is the same in the messages of equal failures: all but names of objects, numbers, ids, quotations, times."""

from __future__ import annotations

import re

# Identifiers of databases and code stay, though quoted: another column or constraint is another cause.
_KEPT = (
    r"\b(?:constraint|column|relation|table|index|type|encoding|function|operator|attribute|parameter|argument|module)"
    r""":?\s(?:'[\w.]+'|"[\w.]+"|`[\w.]+`)"""
)
# The apostrophe of "model's" opens and closes no quotation.
_QUOTATIONS = r"""(?<!\w)'(?:[^']|'(?=\w))*'(?!\w)|"[^"]*"|`[^`]*`|“[^”]*”|«[^»]*»"""
_VARYING = (
    r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]*[^\s'\"<>.,;:)\]]",  # URLs
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",  # addresses of people
    r"(?i:\b[0-9a-f]{8}-[0-9a-f-]{27,}\b)",  # UUIDs
    r"\b0x[0-9a-f]+\b",
    # Ids of requests, traces, accounts: "req_011CSHoE…", "org-Ab12…", digests, ULIDs.
    r"\b(?:req|request|resp|trace|run|org|proj|key)[_-](?=[\w-]*\d)[\w-]+",
    r"(?<![A-Za-z0-9])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{12,}(?![A-Za-z0-9])",
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?",  # times
    r"\b(?:\d+(?:\.\d+)?(?:ms|us|µs|ns|s|m|h|d))+\b",  # durations: "6m0s"
    r"\b\d+(?:\.\d+)?\s(?:milli)?(?:second|minute|hour|day|sec|min)s?\b",
    r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b",  # IP addresses
    r"\d[\d,._]*\d|\d",
)
_PARTS = re.compile("|".join([f"(?P<kept>{_KEPT})", _QUOTATIONS, *_VARYING]))
# "1, 2 and 3" is as much as "4".
_LISTS = re.compile(r"…(?:(?:, | and | or |,|/|\s)?…)+")


def without_particulars(message: str) -> str:
    """`message` with "…" for each part in which equal failures differ."""
    return _LISTS.sub("…", _PARTS.sub(lambda found: found["kept"] or "…", message))
