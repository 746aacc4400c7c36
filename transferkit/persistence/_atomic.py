"""Files that are replaced atomically: readers see the old content or the new, never a part."""

import contextlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
from pathlib import Path

__all__ = ["write_atomically"]

_LONGEST_PREFIX = 40  # characters of the file's name in that of the temporary file; names have at most 255 bytes
_MOST_LINKS = 40  # symbolic links that operating systems follow


@contextlib.contextmanager
def write_atomically(path, what="file"):
    """Return a context manager with a temporary file to write, which replaces `path` if the block raises no error.

    The new file takes over the mode of the one it replaces, and its owner where the system allows it; without one it
    gets the default mode of the umask. A symbolic link remains a link: its target is replaced or created. Content for
    devices and pipes, such as ``/dev/null`` and ``/dev/stdout``, is copied into them when it is complete. After an
    error the old file is unchanged, and the temporary one is removed. `what` names the kind of file in messages.

    Raises
    ------
    IsADirectoryError
        If `path` is a folder.
    FileNotFoundError
        If its folder does not exist.
    OSError
        If the file cannot be written, or `path` is a disk or a socket.
    """
    path = Path(path)
    status = _status_of(path, what)
    if status is not None and _is_stream(path, status):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "content"
            temporary.touch()
            with _naming(path, what, only=temporary):
                yield temporary
            with _naming(path, what):
                _copy_into(path, temporary)
        return
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"The {what} {os.fspath(path)!r} cannot be written: its folder does not exist.")
    temporary = target.with_name(f".{target.name[:_LONGEST_PREFIX]}.{secrets.token_hex(8)}.tmp")
    with _naming(path, what):  # the replacement of a private file must be private from the start
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if status is None else 0o600))
    mode = stat.S_IMODE(temporary.stat().st_mode)
    try:
        with _naming(path, what, only=temporary):
            yield temporary
        with _naming(path, what):
            _flush_to_disk(temporary)
            temporary.chmod(mode if status is None else _keep_owner(temporary, status))
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _status_of(path, what):
    """Return the status of the target of all links, or None if there is none; raise OSError if it cannot be written."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:  # circular links, a folder without permission, a name that is too long
        raise _name_error(path, what, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"The {what} {os.fspath(path)!r} cannot be written: a folder has that name.")
    if stat.S_ISBLK(status.st_mode) or stat.S_ISSOCK(status.st_mode):
        kind = "disk" if stat.S_ISBLK(status.st_mode) else "socket"
        raise OSError(f"The {what} {os.fspath(path)!r} cannot be written: a {kind} has that name.")
    return status


def _is_stream(path, status):
    return not stat.S_ISREG(status.st_mode) or _descriptor_of(path) is not None


def _descriptor_of(path):
    """Return the file descriptor of this process that a name such as /dev/stdout refers to, else None."""
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        if folder in ("/dev/fd", f"/proc/{os.getpid()}/fd", os.path.realpath("/proc/thread-self/fd")):
            return int(path.name) if path.name.isdecimal() else None
        if not path.is_symlink():
            return None
        path = Path(folder) / os.readlink(path)
    return None


def _copy_into(path, content):
    descriptor = _descriptor_of(path)
    if descriptor is not None:  # opening it by name would truncate it
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    with open(content, "rb") as source, open(path if descriptor is None else os.dup(descriptor), "wb") as target:
        shutil.copyfileobj(source, target)


def _keep_owner(temporary, status):
    """Set the owner and group of the replaced file, and return a mode that grants no one more rights than before."""
    mode = stat.S_IMODE(status.st_mode)
    if not hasattr(os, "chown"):
        return mode
    with contextlib.suppress(OSError):
        os.chown(temporary, -1, status.st_gid)
    with contextlib.suppress(OSError):
        os.chown(temporary, status.st_uid, -1)
    found = temporary.stat()
    if found.st_gid != status.st_gid:  # another group gets only the rights of others
        mode &= ~0o070 | (mode & 0o007) << 3
    if (found.st_uid, found.st_gid) != (status.st_uid, status.st_gid):
        mode &= 0o777
    return mode


def _flush_to_disk(path):
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _naming(path, what, only=None):
    """Raise errors of the operating system with the user's path; if `only` is given, just those about that file."""
    try:
        yield
    except OSError as error:
        concerns_others = error.errno is None or error.filename not in (None, os.fspath(only or path))
        if only is not None and concerns_others:
            raise
        raise _name_error(path, what, error) from error


def _name_error(path, what, error):
    return type(error)(f"The {what} {os.fspath(path)!r} cannot be written: {error.strerror or error}.")
