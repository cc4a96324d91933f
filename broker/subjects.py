"""Matching of subjects against patterns with the wildcards of NATS."""


def matches(pattern: str, subject: str) -> bool:
    """Whether `subject` falls under `pattern`: `*` is one token, a closing `>` one or more.

    >>> matches("lease.demo.*", "lease.demo.ALICE"), matches("lease.*", "lease.demo.ALICE")
    (True, False)
    >>> matches("lease.>", "lease.demo.ALICE"), matches("lease.>", "lease")
    (True, False)
    """
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(given) < len(wanted):
            return False
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    if len(wanted) != len(given):
        return False
    return all(token in ("*", name) for token, name in zip(wanted, given, strict=True))
