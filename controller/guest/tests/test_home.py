"""The home disk: every refusal leaves each byte as it was, and a crash at any point of the making is mended later."""

import os
import subprocess
import unittest
from pathlib import Path
from unittest import mock

from .support import NEEDS_ROOT, Disk, Scratch, sh

from rehost_guest import device as disks
from rehost_guest import home, making, mounts, unfinished
from rehost_guest.settings import Home

WANTED = Home(device="home", content_id="content-1", format=False)
NEW = Home(device="home", content_id="content-1", format=True)


class Cut(BaseException):
    """The machine loses its power here."""


@NEEDS_ROOT
class HomeCase(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.point = self.scratch / "disk"
        self.addCleanup(self.unmount)

    def unmount(self) -> None:
        mounts.unmount_below(self.point, patience_s=5)

    def take(self, disk: Disk, wanted: Home) -> bool:
        return home.take(disk.device, wanted, self.point, self.scratch)

    def make(self, disk: Disk, wanted: Home = NEW) -> None:
        self.take(disk, wanted)
        self.unmount()

    def write(self, name: str, text: str) -> None:
        (self.point / "home" / name).write_text(text)

    def refused(self, disk: Disk, wanted: Home, failure: str) -> home.Refused:
        before = disk.sum()
        with self.assertRaises(home.Refused) as caught:
            self.take(disk, wanted)
        self.assertEqual(caught.exception.failure, failure, str(caught.exception))
        self.assertEqual(disk.sum(), before, "the disk was changed")
        self.assertFalse(mounts.is_mounted(self.point))
        return caught.exception


class Making(HomeCase):
    def test_a_blank_disk_becomes_a_home_with_its_layout(self) -> None:
        disk = Disk(self)
        self.assertTrue(self.take(disk, NEW))
        root = os.stat(self.point)
        self.assertEqual((root.st_uid, root.st_gid, root.st_mode & 0o7777), (1000, 1000, 0o2775))
        inner = os.stat(self.point / "home")
        self.assertEqual((inner.st_uid, inner.st_gid), (1000, 1000))
        self.assertEqual((self.point / ".rehost/content-id").read_text(), "content-1\n")
        self.unmount()
        self.assertIsNone(unfinished.read(disk.device))
        self.assertEqual(disks.content_id(disk.device), "content-1")
        sh("e2fsck", "-f", "-n", str(disk.device))

    def test_what_a_vm_has_written_beside_the_home_is_for_a_pod_to_read(self) -> None:
        disk = Disk(self)
        self.take(disk, NEW)
        home.cookie_secret(self.point)
        ours = self.point / ".rehost"
        os.chown(ours / "content-id", 0, 0)
        self.unmount()
        self.take(disk, WANTED)
        for path in (ours, *ours.iterdir()):
            self.assertEqual((path.stat().st_uid, path.stat().st_gid), (1000, 1000), path.name)

    def test_modes_in_the_home_stay_as_they_are(self) -> None:
        disk = Disk(self)
        self.take(disk, NEW)
        (self.point / "home/.ssh").mkdir(mode=0o700)
        key = self.point / "home/.ssh/id"
        key.touch(mode=0o600)
        self.unmount()
        self.take(disk, WANTED)
        self.assertEqual(os.stat(key).st_mode & 0o7777, 0o600)

    def test_a_made_home_is_served_again_and_never_made_again(self) -> None:
        disk = Disk(self)
        self.take(disk, NEW)
        self.write("work", "all of it")
        self.unmount()
        for wanted in (WANTED, NEW):
            self.take(disk, wanted)
            self.assertEqual((self.point / "home/work").read_text(), "all of it")
            self.unmount()

    def test_an_empty_file_system_that_a_csi_driver_made_gets_the_layout(self) -> None:
        disk = Disk(self)
        sh("mkfs.ext4", "-q", str(disk.device))
        self.take(disk, NEW)
        self.assertTrue((self.point / "lost+found").is_dir())
        self.unmount()
        self.assertEqual(disks.content_id(disk.device), "content-1")

    def test_a_copy_is_expected_with_its_sources_id_and_then_gets_its_own(self) -> None:
        disk = Disk(self)
        self.take(disk, NEW)
        secret = home.cookie_secret(self.point)
        self.assertEqual(home.cookie_secret(self.point), secret)
        self.unmount()
        copy = Home(device="home", content_id="content-2", format=False, copied_from="content-1")
        for _ in range(2):
            self.take(disk, copy)
            self.assertNotEqual(home.cookie_secret(self.point), secret)
            self.unmount()
            self.assertEqual(disks.content_id(disk.device), "content-2")
        self.refused(disk, WANTED, home.CONTENT_MISMATCH)

    def test_a_grown_disk_is_filled_mounted_and_unmounted(self) -> None:
        disk = Disk(self, 128)
        self.make(disk)
        disk.grow(256)
        self.assertFalse(home.fills_disk(disk.device))
        self.assertTrue(self.take(disk, WANTED))
        self.assertTrue(home.fills_disk(disk.device))
        self.unmount()
        disk.grow(320)
        with mock.patch.object(home, "grow_online", return_value=False):
            self.assertTrue(self.take(disk, WANTED), "unmounted, where the kernel does not let us online")
        self.assertTrue(mounts.is_mounted(self.point))
        self.assertTrue(home.fills_disk(disk.device))


class Refusing(HomeCase):
    def test_blank_where_content_is_expected(self) -> None:
        self.refused(Disk(self), WANTED, home.CONTENT_MISMATCH)

    def test_swap(self) -> None:
        disk = Disk(self)
        sh("mkswap", str(disk.device))
        self.refused(disk, NEW, home.FOREIGN_FILESYSTEM)

    def test_a_partition_table(self) -> None:
        disk = Disk(self)
        partition = bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little")
        disk.put(446, partition + bytes(48) + b"\x55\xaa")
        self.refused(disk, NEW, home.FOREIGN_FILESYSTEM)

    def test_an_lvm_volume(self) -> None:
        disk = Disk(self)
        disk.put(512, b"LABELONE" + (1).to_bytes(8, "little") + bytes(4) + (32).to_bytes(4, "little") + b"LVM2 001")
        self.refused(disk, NEW, home.FOREIGN_FILESYSTEM)

    def test_a_foreign_ext4(self) -> None:
        disk = Disk(self)
        sh("mkfs.ext4", "-q", "-d", str(Path(__file__).parent), str(disk.device))
        self.assertIn("without a content id", str(self.refused(disk, NEW, home.CONTENT_MISMATCH)))
        self.refused(disk, WANTED, home.CONTENT_MISMATCH)

    def test_a_foreign_ext4_whose_files_are_in_its_journal_only(self) -> None:
        disk = Disk(self)
        sh("mkfs.ext4", "-q", str(disk.device))
        self.point.mkdir()
        sh("mount", str(disk.device), str(self.point))
        (self.point / "thesis.tex").write_text("years of work")
        sh("sync", "-f", str(self.point))
        # A copy of the disk at this moment is what a machine leaves that loses its power.
        torn = Disk(self, name="torn")
        sh("dd", f"if={disk.device}", f"of={torn.device}", "bs=1M", "conv=fsync", "status=none")
        self.unmount()
        self.assertTrue(disks.superblock(torn.device).needs_recovery)
        self.refused(torn, NEW, home.CONTENT_MISMATCH)

    def test_an_ext4_without_id(self) -> None:
        disk = Disk(self)
        sh("mkfs.ext4", "-q", str(disk.device))
        self.refused(disk, WANTED, home.CONTENT_MISMATCH)

    def test_another_id(self) -> None:
        disk = Disk(self)
        self.make(disk)
        other = Home(device="home", content_id="content-2", format=True)
        self.assertEqual(self.refused(disk, other, home.CONTENT_MISMATCH).content_id, "content-1")

    def test_unknown_bytes_anywhere_that_is_looked_at(self) -> None:
        for megabytes, at in ((192, 4096), (192, (64 << 20) - 1), (320, (128 << 20) + 4096), (192, (192 << 20) - 1)):
            with self.subTest(at=at):
                disk = Disk(self, megabytes, name=f"disk-{at}")
                disk.put(at, b"\1")
                self.refused(disk, NEW, home.FOREIGN_FILESYSTEM)

    def test_an_ext4_whose_superblock_is_wiped(self) -> None:
        disk = Disk(self)
        sh("mkfs.ext4", "-q", str(disk.device))
        disk.put(0, bytes(4096))
        self.refused(disk, NEW, home.FOREIGN_FILESYSTEM)

    def test_an_unfinished_home_of_other_content(self) -> None:
        disk = Disk(self)
        unfinished.write(disk.device, unfinished.Mark.new("content-2"))
        self.assertEqual(self.refused(disk, NEW, home.CONTENT_MISMATCH).content_id, "content-2")
        self.refused(disk, WANTED, home.CONTENT_MISMATCH)

    def test_an_unfinished_home_where_content_is_expected(self) -> None:
        disk = Disk(self)
        unfinished.write(disk.device, unfinished.Mark.new("content-1"))
        self.refused(disk, WANTED, home.CONTENT_MISMATCH)

    def test_a_mark_over_something_that_is_not_ours(self) -> None:
        disk = Disk(self)
        sh("mkfs.ext4", "-q", "-d", str(Path(__file__).parent), str(disk.device))
        unfinished.write(disk.device, unfinished.Mark.new("content-1"))
        self.refused(disk, NEW, home.FOREIGN_FILESYSTEM)

    def test_a_mark_that_is_not_whole(self) -> None:
        disk = Disk(self)
        disk.put(0, unfinished.Mark.new("content-1").sector()[:300])
        self.refused(disk, NEW, home.FOREIGN_FILESYSTEM)

    def test_a_damaged_file_system_is_left_to_a_person(self) -> None:
        disk = Disk(self)
        self.make(disk)
        with mock.patch.object(home, "run", side_effect=home.CommandFailed(["e2fsck"], 4, "UNEXPECTED INCONSISTENCY")):
            self.assertIn("UNEXPECTED", str(self.refused(disk, WANTED, home.FILESYSTEM_DAMAGED)))


class Crashing(HomeCase):
    """The power goes after each write of the making. What a later boot finds, it finishes, and it loses nothing."""

    def test_after_every_write(self) -> None:
        cuts = 0
        while self.survives_a_cut(cuts):
            cuts += 1
        self.assertGreater(cuts, 10, "the making has more writes than that")

    def survives_a_cut(self, after: int) -> bool:
        disk = Disk(self, 80, name=f"cut-{after}")
        with mock.patch.object(making, "_COPY_BYTES", 256 << 10):
            cut = self.cut_off(disk, after)
        self.unmount()
        self.take(disk, NEW)
        self.assertEqual(home.read_id(self.point), "content-1")
        self.write("work", "all of it")
        self.unmount()
        self.assertIsNone(unfinished.read(disk.device))
        sh("e2fsck", "-f", "-n", str(disk.device))
        self.take(disk, WANTED)
        self.assertEqual((self.point / "home/work").read_text(), "all of it")
        self.unmount()
        return cut

    def cut_off(self, disk: Disk, after: int) -> bool:
        """Makes the home until `after` writes or steps are done."""
        left = [after]

        def counted(real):
            def call(*arguments, **named):
                if left[0] == 0:
                    raise Cut
                left[0] -= 1
                return real(*arguments, **named)

            return call

        steps = [
            mock.patch.object(os, "pwrite", counted(os.pwrite)),
            mock.patch.object(os, "replace", counted(os.replace)),
        ]
        steps += [
            mock.patch.object(mounts, name, counted(getattr(mounts, name))) for name in ("mount_disk", "unmount_below")
        ]
        try:
            for step in steps:
                step.start()
            self.take(disk, NEW)
            return False
        except Cut:
            return True
        finally:
            for step in steps:
                step.stop()


class LettingGo(HomeCase):
    def test_what_holds_on_is_ended(self) -> None:
        disk = Disk(self)
        self.take(disk, NEW)
        holder = subprocess.Popen(["sleep", "1000"], cwd=self.point / "home")
        self.assertFalse(home.is_free(disk.device))
        mounts.unmount_below(self.point, patience_s=5)
        self.assertLess(holder.wait(timeout=5), 0)
        self.assertTrue(home.is_free(disk.device))

    def test_what_cannot_be_ended_is_named(self) -> None:
        disk = Disk(self)
        self.take(disk, NEW)
        here = os.getcwd()
        os.chdir(self.point)
        try:
            with self.assertRaises(mounts.StillBusy) as caught:
                mounts.unmount_below(self.point, patience_s=0.5)
        finally:
            os.chdir(here)
        self.assertIn("cannot be unmounted", str(caught.exception))
        self.assertTrue(mounts.is_mounted(self.point))


if __name__ == "__main__":
    unittest.main()
