"""Writing replaces files atomically, and leaves links, devices, pipes, modes and owners as they are."""

import os
import stat
import subprocess
import sys
import threading

import pytest
from sklearn.decomposition import PCA

import transferkit
from transferkit.persistence import write_atomically

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="modes, links and pipes of POSIX")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs the super-user")


def write(path, content=b"new"):
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)


def save_model(path):
    transferkit.save(PCA(2).fit([[1.0, 2, 3], [3, 1, 2], [2, 2, 0]]), path)


def write_graph(path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    transferkit.to_onnx(PCA(2).fit([[1.0, 2, 3], [3, 1, 2], [2, 2, 0]]), path)


each_writer = pytest.mark.parametrize("writer", [write, save_model, write_graph])


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@each_writer
def test_link_stays_a_link_and_its_target_is_replaced(writer, tmp_path):
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "v1").write_bytes(b"old")
    (tmp_path / "stable").symlink_to("versions/v1")
    (tmp_path / "latest").symlink_to("stable")
    writer(tmp_path / "latest")
    assert os.readlink(tmp_path / "latest") == "stable"
    assert os.readlink(tmp_path / "stable") == "versions/v1"
    assert (tmp_path / "versions" / "v1").read_bytes() not in (b"old", b"")
    assert os.listdir(tmp_path / "versions") == ["v1"]


def test_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "latest").symlink_to("v2")
    write(tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "v2").read_bytes() == b"new"


def test_links_in_a_circle_are_named(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=r"The file .*a' cannot be written: Too many levels"):
        write(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@each_writer
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_replaced_file_keeps_its_mode(writer, mode, tmp_path):
    (tmp_path / "model").touch()
    (tmp_path / "model").chmod(mode)
    writer(tmp_path / "model")
    assert mode_of(tmp_path / "model") == mode


@each_writer
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_new_file_has_the_mode_that_the_umask_gives(writer, mask, tmp_path):
    before = os.umask(mask)
    try:
        writer(tmp_path / "model")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "model") == 0o666 & ~mask


def test_secret_file_is_secret_while_it_is_written(tmp_path):
    (tmp_path / "model").touch(0o600)
    with write_atomically(tmp_path / "model") as temporary:
        assert mode_of(temporary) == 0o600
        assert temporary.parent == tmp_path  # on the same disk, so that it can be renamed


@as_root
def test_replaced_file_keeps_its_owner(tmp_path):
    (tmp_path / "model").touch(0o640)
    os.chown(tmp_path / "model", 12345, 54321)
    write(tmp_path / "model")
    status = (tmp_path / "model").stat()
    assert (status.st_uid, status.st_gid, mode_of(tmp_path / "model")) == (12345, 54321, 0o640)


def test_other_group_gets_no_more_than_everybody(tmp_path, monkeypatch):
    (tmp_path / "model").touch()
    (tmp_path / "model").chmod(0o664)
    real = os.stat(tmp_path / "model")
    changed = os.stat_result([*real[:5], real.st_gid + 1, *real[6:]])
    monkeypatch.setattr("transferkit.persistence._atomic._status_of", lambda path, what: changed)
    monkeypatch.setattr(os, "chown", lambda *args: (_ for _ in ()).throw(PermissionError()))
    write(tmp_path / "model")
    assert mode_of(tmp_path / "model") == 0o644


@each_writer
def test_pipe_stays_a_pipe_and_gets_the_content(writer, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    received = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    writer(tmp_path / "pipe")
    reader.join(timeout=30)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]
    writer(tmp_path / "file")
    assert len(received[0]) == (tmp_path / "file").stat().st_size


@as_root
@each_writer
def test_device_stays_a_device(writer, tmp_path):
    try:
        os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
        (tmp_path / "null").open("wb").close()
    except OSError:
        pytest.skip("the system allows no devices here")
    writer(tmp_path / "null")
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_full_device_is_named():
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with pytest.raises(OSError, match="The file '/dev/full' cannot be written: No space left on device"):
        write("/dev/full")


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="there is no /dev/stdout")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
def test_standard_output_is_continued(name, tmp_path):
    (tmp_path / "link").symlink_to("/dev/stdout")
    path = tmp_path / "link" if name == "link" else name
    code = (
        "import sys; from transferkit.persistence import write_atomically\n"
        "print('before')\n"
        "with write_atomically(sys.argv[1]) as temporary: temporary.write_bytes(b'content\\n')\n"
        "print('after')"
    )
    (tmp_path / "log").write_text("old\n")
    command = [sys.executable, "-c", code, str(path)]
    with open(tmp_path / "log", "a") as log:
        subprocess.run(command, stdout=log, check=True)
    assert (tmp_path / "log").read_text() == "old\nbefore\ncontent\nafter\n"
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"before\ncontent\nafter\n"
    assert sorted(os.listdir(tmp_path)) == ["link", "log"]


@each_writer
def test_folders_and_missing_folders_are_refused(writer, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(IsADirectoryError, match="cannot be written: a folder has that name"):
            writer(path)
    (tmp_path / "elsewhere").symlink_to("missing/model")
    for path in (tmp_path / "missing" / "model", tmp_path / "elsewhere"):
        with pytest.raises(FileNotFoundError, match="cannot be written: its folder does not exist"):
            writer(path)


def test_socket_is_refused(tmp_path, monkeypatch):
    import socket

    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(OSError, match="'socket' cannot be written: a socket has that name"):
            write("socket")


def write_half(path, error):
    with write_atomically(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("a bug")])
def test_failed_write_leaves_the_old_file_and_no_other(error, tmp_path):
    (tmp_path / "model").write_bytes(b"old")
    (tmp_path / "model").chmod(0o640)
    with pytest.raises(type(error)):
        write_half(tmp_path / "model", error)
    assert (tmp_path / "model").read_bytes() == b"old"
    assert mode_of(tmp_path / "model") == 0o640
    assert os.listdir(tmp_path) == ["model"]


def test_error_of_the_system_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(OSError, match=r"The file .*t\.csv' cannot be written: No space left"):
        write_half(tmp_path / "t.csv", OSError(28, "No space left on device"))
    with pytest.raises(FileNotFoundError, match="other"):
        write_half(tmp_path / "t.csv", FileNotFoundError(2, "No such file", "other"))


@pytest.mark.parametrize("name", ["x" * 250, "語" * 83, "with space", "-dash"])
def test_any_name_of_a_file_can_be_written(name, tmp_path):
    for content in (b"a", b"b"):
        write(tmp_path / name, content)
        assert (tmp_path / name).read_bytes() == content


def test_relative_name_is_that_of_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("model")
    assert (tmp_path / "model").read_bytes() == b"new"
