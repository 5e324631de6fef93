"""Judgements of an earlier `collapse-lab verify --json`, for claims whose runs are not at hand any more."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.verify.claims import Claim
from collapse_lab.verify.judgement import Judgement
from collapse_lab.verify.measured import Measured

# What decides a judgement besides the runs: another test, or other runs asked for, make an earlier one void
DEFINITION = ("statistic", "arguments", "needed", "condition", "commands")

Earlier = Mapping[tuple[str, str], Mapping[str, Any]]


def read_earlier(path: Path) -> Earlier:
    """Return the judgements in a file of `collapse-lab verify --json`, by paper and claim.

    Raises:
        UserError: the file cannot be read, or is no such file.
    """
    try:
        found = {(plain["paper"], plain["id"]): plain for plain in json.loads(path.read_bytes())}
        lacking = [
            key for plain in found.values() for key in (*DEFINITION, "verdict", "n", "scale") if key not in plain
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error!r}); give a file that `verify --json` wrote") from error
    if lacking:
        raise UserError(f"{path} lacks '{lacking[0]}': it was written by an older version; judge the runs again")
    return found


def completed(judgements: Sequence[Judgement], earlier: Earlier) -> tuple[list[Judgement], list[str]]:
    """Return judgements in which an earlier one stands for each claim that has fewer seeds now, or none.

    Of a claim that has not been run, the one that has been judged at more other settings stands.

    Args:
        judgements: The judgements of the runs at hand.
        earlier: What `read_earlier` returned.

    Returns:
        The judgements, and why earlier ones were left out, a sentence each.
    """
    reasons: list[str] = []
    whole = []
    for judgement in judgements:
        claim = judgement.claim
        plain = earlier.get((claim.paper, claim.id))
        if plain is None or _known(judgement.measured.n, judgement.others) >= _known(plain["n"], plain["others"]):
            whole.append(judgement)
            continue
        now = json.loads(json.dumps(judgement.plain()))
        changed = [key for key in DEFINITION if now[key] != plain[key]]
        if changed:
            reasons.append(f"{claim.paper}, {claim.id}: its {changed[0]} has changed since it was judged")
        whole.append(judgement if changed else _judged(claim, plain))
    return whole, reasons


def _known(n: int, others: Sequence[object]) -> tuple[int, int]:
    """Return how much is known of a claim: its seeds, and without any the other settings at which it was judged."""
    return n, 0 if n else len(others)


def _judged(claim: Claim, plain: Mapping[str, Any]) -> Judgement:
    others = tuple(replace(_of(claim, other, other["setting"]), runs=tuple(other["runs"])) for other in plain["others"])
    return replace(_of(claim, plain, plain["setting"]), p=plain["p"], runs=tuple(plain["runs"]), others=others)


def _of(claim: Claim, plain: Mapping[str, Any], setting: Sequence[str]) -> Judgement:
    value = math.inf if plain["value"] == "never" else plain["value"]
    lo = -math.inf if plain["lo"] == "unbounded" else plain["lo"]
    hi = math.inf if plain["hi"] == "unbounded" else plain["hi"]
    measured = Measured(value, lo, hi, plain["n"], plain.get("note", ""), scale=plain.get("scale"))
    return Judgement(claim, plain["verdict"], plain["reason"], measured, setting=tuple(setting))
