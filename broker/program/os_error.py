"""An OSError as a sentence: what could not be used, why, and what to do about it.

The file that failed may bear a temporary name, and be gone by then; the nearest folder that is
there says where it happened.

>>> in_words(OSError(errno.EROFS, "Read-only file system", "/.part-1a2b3c"))
'/ cannot be written, its file system is read-only: name another folder'
>>> in_words(OSError(errno.ENOENT, "No such file or directory", "/nowhere/.part-1a2b3c"))
'there is no /nowhere: make it, or name another'
>>> in_words(OSError(errno.ENOSPC, "No space left on device"))
'a disk is full: free some space'
"""

import errno
from pathlib import Path
from typing import Final

_ADVICE: Final = {
    errno.ENOSPC: "the disk of {path} is full: free some space, or name another folder",
    errno.EDQUOT: "the quota of {path} is used up: free some space, or name another folder",
    errno.EROFS: "{path} cannot be written, its file system is read-only: name another folder",
    errno.EACCES: "this user may not use {path}: change its owner or its mode, or name another",
    errno.EPERM: "this user may not change {path}: change its owner, or name another",
    errno.ENOTDIR: "{path} is no folder: name another",
    errno.EISDIR: "{path} is a folder, not a file: name another",
    errno.EEXIST: "{path} is in the way: move it, or name another",
    errno.ENAMETOOLONG: "a name in {path} is too long: choose a shorter one",
    errno.EMFILE: "this process has too many files open: raise the limit with `ulimit -n`",
    errno.ENFILE: "this machine has too many files open: close some programs",
}
_NOWHERE: Final = {
    errno.ENOSPC: "a disk is full: free some space",
    errno.EDQUOT: "a disk quota is used up: free some space",
}
"""Where nobody knows which file it was: an open names its file in the error, a write does not."""


def in_words(error: OSError, folder: str = "") -> str:
    """The sentence; `folder` is where the program writes, if the error does not say it."""
    number = error.errno or 0
    named = folder if number in _NOWHERE else ""
    if isinstance(error.filename, str):
        named = error.filename
    if not named:
        return _NOWHERE.get(number) or _as_said(error)
    there, missing = _nearest(Path(named).expanduser().absolute())
    if number == errno.ENOENT and missing is not None:
        return f"there is no {missing}: make it, or name another"
    advice = _ADVICE.get(number)
    return advice.format(path=there) if advice else f"{there}: {_as_said(error)}"


def _as_said(error: OSError) -> str:
    words = error.strerror or str(error)
    return words[:1].lower() + words[1:]


def _nearest(path: Path) -> tuple[Path, Path | None]:
    """The longest part of the path that is there, and the first one that is not."""
    missing = None
    for part in (path, *path.parents):
        if _is_there(part):
            return part, missing
        missing = part
    return path, None


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True
