"""A file is the old one or the new one."""

from __future__ import annotations

import errno
import json
import os
import stat

import pytest

from napari_breastseg.core.atomic import (
    atomic_path,
    temporary_folder,
    write_json,
    write_text,
    write_texts,
)
from napari_breastseg.core.errors import StorageError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "mask.nii.gz"
    target.write_bytes(b"old")

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["mask.nii.gz"]


def test_the_temporary_file_has_the_same_endings(tmp_path):
    with atomic_path(tmp_path / "a.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert temporary.parent == tmp_path


def test_a_full_disk_is_said_in_three_parts_and_loses_nothing(tmp_path, monkeypatch):
    target = tmp_path / "note.txt"
    write_text(target, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"to be writable; .*No space left.*Free disk space"):
        write_text(target, "new")
    monkeypatch.undo()
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="to be writable"):
        write_text(tmp_path / "file" / "below.txt", "x")


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"dice": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot open a folder for fsync")
def test_a_power_cut_after_a_write_loses_neither_the_file_nor_its_name(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(descriptor):
        steps.append(("fsync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def seen_replace(source, target):
        steps.append(("rename", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    write_text(tmp_path / "note.txt", "new")
    file, folder = (tmp_path / "note.txt").stat().st_ino, tmp_path.stat().st_ino
    assert steps == [("fsync", file), ("rename", file), ("fsync", folder)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_files_get_the_mode_other_programs_give(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="needs file modes")
def test_the_umask_counts_and_is_never_changed_for_the_whole_program(tmp_path, monkeypatch):
    umask = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask is every thread's"))
        write_text(tmp_path / "a.txt", "x")
        folder = temporary_folder(tmp_path, ".tmp-")
    finally:
        monkeypatch.undo()
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot open a folder for fsync")
def test_several_files_are_all_on_the_disk_before_one_is_renamed(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(descriptor):
        steps.append(("fsync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def seen_replace(source, target):
        steps.append(("rename", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    texts = {tmp_path / "a.json": "1", tmp_path / "b.json": "2\u00e4"}
    write_texts(texts)
    assert {path: path.read_text("utf-8") for path in texts} == texts
    files = {path.stat().st_ino for path in texts}
    assert [what for what, _ in steps] == ["fsync", "fsync", "rename", "rename"]
    assert {file for _, file in steps[:2]} == {file for _, file in steps[2:]} == files


def test_a_disk_that_fills_up_changes_none_of_several_files(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_texts({path: "new", tmp_path / "b.json": "new"})
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.json", "old")]


def test_nothing_to_write_is_no_error(tmp_path):
    write_texts({})
    assert list(tmp_path.iterdir()) == []


def test_a_note_that_need_not_outlast_a_power_cut_does_not_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("the disk was waited for"))
    write_json(tmp_path / "note.json", {"since": "now"}, outlasts_power=False)
    assert json.loads((tmp_path / "note.json").read_text()) == {"since": "now"}
